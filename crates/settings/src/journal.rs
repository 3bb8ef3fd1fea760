//! `[journal]`: where charges are written down before anyone is told.

use std::path::PathBuf;

use crate::document::Document;
use crate::section::Section;

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The folder, on a local disk. One gateway owns it.
    pub directory: PathBuf,
    /// Its size in bytes; past it new paid calls are refused.
    pub max_bytes: u64,
    /// What must be free on its disk, in bytes; below it new paid calls are refused.
    pub min_free_disk: u64,
}

impl Journal {
    pub(crate) fn read(document: &mut Document) -> Self {
        let mut section = Section::open(document, "journal");
        let read = Self {
            directory: section.path("directory", "data/journal"),
            max_bytes: section.size("max_bytes", 1 << 30, 1 << 20..=1 << 40),
            min_free_disk: section.size("min_free_disk", 64 << 20, 0..=1 << 40),
        };
        section.close();
        read
    }
}
