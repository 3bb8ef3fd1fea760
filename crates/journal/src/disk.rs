//! The little of a file system that the journal needs, behind a trait so that tests can fill, break and stop it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::segment::widen;

/// How much of a new file is written between two syncs.
const FILL_BYTES_AT_ONCE: usize = 512 << 10;

/// A file system.
pub(crate) trait Disk: Send + Sync + 'static {
    /// A new, empty file.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
    /// A file of zeros of this length, on the disk when this returns; and nothing where it fails.
    fn fill(&self, path: &Path, bytes: u64) -> io::Result<()>;
    /// Such a file under its new name, to be written from its beginning.
    fn adopt(&self, filled: &Path, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
    /// An old file, to be cut.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;
}

/// A file that is written from its beginning to its end.
pub(crate) trait SegmentFile: Send + Sync {
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    fn cut(&self, bytes: u64) -> io::Result<()>;
}

/// The operating system's.
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        // What an attempt that failed may have left there is worth nothing.
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        file.set_len(0)?;
        Ok(Arc::new(file))
    }

    fn fill(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let filled = fill(path, bytes);
        if filled.is_err() {
            let _ = fs::remove_file(path);
        }
        filled
    }

    fn adopt(&self, filled: &Path, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        fs::rename(filled, path)?;
        Ok(Arc::new(Filled { file: OpenOptions::new().write(true).open(path)?, end: AtomicU64::new(0) }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(OpenOptions::new().append(true).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let status = rustix::fs::statvfs(directory)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

impl SegmentFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

/// Zeros that are written over.
struct Filled {
    file: File,
    /// Where the next record goes. Only whoever holds the log writes.
    end: AtomicU64,
}

impl SegmentFile for Filled {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let end = self.end.load(Ordering::Acquire);
        self.file.write_all_at(bytes, end)?;
        self.end.store(end + widen(bytes.len()), Ordering::Release);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.end.store(bytes, Ordering::Release);
        Ok(())
    }
}

/// Synced piece by piece, as one long sync would hold up the journal's own.
fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let zeros = vec![0; FILL_BYTES_AT_ONCE];
    let mut left = bytes;
    while left > 0 {
        let piece = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_all(&zeros[..piece])?;
        file.sync_all()?;
        left -= widen(piece);
    }
    Ok(())
}
