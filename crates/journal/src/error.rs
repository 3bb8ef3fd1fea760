//! What can go wrong with the journal. Never carries an event's contents.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the journal did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process (or another journal in this one) owns the directory.
    #[error("{} is in use by another gateway: give each gateway a journal directory of its own", .0.display())]
    Owned(PathBuf),
    /// A file of another version of this program.
    #[error("{} has format version {found}; this program reads version {wanted}", .file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// The version that it names.
        found: u32,
        /// The version that is understood.
        wanted: u32,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The event has no JSON form.
    #[error("the event cannot be written as JSON")]
    Encode(#[source] Arc<serde_json::Error>),
    /// The event is too long.
    #[error("the event has {bytes} bytes as a record; at most {bytes_max} are allowed")]
    RecordTooLarge {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// Too many records wait already.
    #[error("{records_max} records wait for the journal's writer: no more are taken")]
    Busy {
        /// The most that may wait.
        records_max: usize,
    },
    /// The journal has reached its size.
    #[error("the journal is full ({bytes_max} bytes): events must be applied to the store first")]
    Full {
        /// Its size.
        bytes_max: u64,
    },
    /// The disk is nearly full.
    #[error("the journal's disk has {free_bytes} bytes free; new holds need {free_bytes_min}")]
    DiskNearlyFull {
        /// What is free.
        free_bytes: u64,
        /// What must be free.
        free_bytes_min: u64,
    },
    /// Writes or syncs fail at present; the journal tries again by itself.
    #[error("the journal cannot be written at present")]
    Unwritable(#[source] Arc<io::Error>),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Owned(_) => "journal_owned",
            Self::Version { .. } => "journal_version",
            Self::Io { .. } => "journal_io",
            Self::Encode(_) => "journal_encode",
            Self::RecordTooLarge { .. } => "journal_record_too_large",
            Self::Busy { .. } => "journal_busy",
            Self::Full { .. } => "journal_full",
            Self::DiskNearlyFull { .. } => "journal_disk_nearly_full",
            Self::Unwritable(_) => "journal_unwritable",
            Self::Closed => "journal_closed",
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }
}
