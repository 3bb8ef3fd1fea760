//! Whether files and folders could be made and written, found out without leaving anything behind.

use std::fs::{self, File};
use std::path::Path;

/// Why a file could not be written, or made where it is missing.
pub(super) fn file_fault(file: &Path) -> Option<String> {
    if !file.exists() {
        return folder_fault(file.parent().unwrap_or(Path::new("")));
    }
    // Neither made nor cut short: only asked for.
    let opened = File::options().write(true).open(file);
    opened.err().map(|error| format!("{} cannot be written: {error}", file.display()))
}

/// Why nothing could be written in a folder, or the folder not be made where it is missing.
pub(super) fn folder_fault(folder: &Path) -> Option<String> {
    let named = |ancestor: &Path| if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor }.to_owned();
    // What is there of the way to it: the rest would be made in that.
    let there = folder.ancestors().map(named).find(|ancestor| fs::symlink_metadata(ancestor).is_ok())?;
    if !there.is_dir() {
        return Some(format!("{} is no folder", there.display()));
    }
    // A file without a name: it is gone when it is closed.
    let written = tempfile::tempfile_in(&there);
    written.err().map(|error| format!("{} cannot be written to: {error}", there.display()))
}
