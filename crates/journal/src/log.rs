//! The log: segments that grow at the end and go at the beginning, and which holds are open in them.
//!
//! It writes and remembers what a sync must cover; syncing itself happens outside its lock, in [`SyncJob::run`].
//! It must never delete a segment that still holds the only copy of something.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::UsageEventId;

use crate::ahead::{Ahead, Taken};
use crate::disk::{Disk, SegmentFile};
use crate::segment::{self, HEADER_END, Position, SegmentReader, widen};

/// Segments, from which on holds that pin the oldest one are copied to the end.
const SEGMENTS_BEFORE_COPYING: usize = 4;

/// One segment, as far as its life depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) sequence: u64,
    pub(crate) bytes: u64,
    /// Open holds whose record is in it.
    pub(crate) holds: u64,
    /// The number of the last settled event in it; 0 where it has none.
    pub(crate) last_settled: u64,
}

/// Where an open hold is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldAt {
    pub(crate) position: Position,
    pub(crate) bytes: u64,
}

/// The log. One lock holds it, for as long as a write takes, never for a sync.
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) segment_bytes: u64,
    pub(crate) ahead: Arc<Ahead>,
    /// Oldest first; the last one grows.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) file: Arc<dyn SegmentFile>,
    pub(crate) holds: HashMap<UsageEventId, HoldAt>,
    pub(crate) hold_bytes: u64,
    /// Of all segments.
    pub(crate) bytes: u64,
    pub(crate) next_number: u64,
    /// Every event up to this number is in the store.
    pub(crate) applied: u64,
    /// The records since `synced`: what a failed sync may have lost.
    pub(crate) unsynced: Vec<u8>,
    /// Files before the growing one that were not synced yet.
    pub(crate) dirty: Vec<Arc<dyn SegmentFile>>,
    pub(crate) directory_dirty: bool,
    /// Up to here a sync succeeded.
    pub(crate) synced: Position,
    /// Why nothing can be written at present.
    pub(crate) failure: Option<Arc<io::Error>>,
}

impl Log {
    pub(crate) fn path(&self, sequence: u64) -> PathBuf {
        self.directory.join(segment::file_name(sequence))
    }

    /// Where the next record goes, if its segment does not end first.
    pub(crate) fn end(&self) -> Position {
        self.segments
            .back()
            .map_or(Position { segment: 0, offset: 0 }, |last| Position { segment: last.sequence, offset: last.bytes })
    }

    /// Hands records to the operating system, all in one segment, and says where they start. After a failure nothing is
    /// written until `heal` has begun a new segment.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<Position, Arc<io::Error>> {
        if let Some(failure) = &self.failure {
            return Err(Arc::clone(failure));
        }
        self.try_append(frames).map_err(|error| self.fail(error))
    }

    /// Keeps records that cannot be written now: `heal` writes them.
    pub(crate) fn defer(&mut self, frames: &[u8]) {
        self.unsynced.extend_from_slice(frames);
    }

    pub(crate) fn fail(&mut self, error: io::Error) -> Arc<io::Error> {
        let error = Arc::new(error);
        self.failure = Some(Arc::clone(&error));
        error
    }

    fn try_append(&mut self, frames: &[u8]) -> io::Result<Position> {
        let end = self.end();
        if end.offset > HEADER_END && end.offset + widen(frames.len()) > self.segment_bytes {
            self.rotate(end.segment + 1)?;
        }
        let position = self.end();
        if let Err(error) = self.file.append(frames) {
            // What did arrive was promised to nobody. Where this fails too, `heal` cuts the segment.
            let _ = self.file.cut(position.offset);
            return Err(error);
        }
        if let Some(last) = self.segments.back_mut() {
            last.bytes += widen(frames.len());
        }
        self.bytes += widen(frames.len());
        self.unsynced.extend_from_slice(frames);
        Ok(position)
    }

    fn rotate(&mut self, sequence: u64) -> io::Result<()> {
        let file = start_segment(&*self.disk, &self.path(sequence), sequence, Some(self.ahead.take()))?;
        self.dirty.push(std::mem::replace(&mut self.file, file));
        self.directory_dirty = true;
        self.segments.push_back(Segment { sequence, bytes: HEADER_END, holds: 0, last_settled: 0 });
        self.bytes += HEADER_END;
        Ok(())
    }

    pub(crate) fn hold_opened(&mut self, id: UsageEventId, position: Position, bytes: u64) {
        self.hold_gone(id);
        self.holds.insert(id, HoldAt { position, bytes });
        self.hold_bytes += bytes;
        if let Some(segment) = self.segment_mut(position.segment) {
            segment.holds += 1;
        }
    }

    pub(crate) fn hold_gone(&mut self, id: UsageEventId) {
        let Some(hold) = self.holds.remove(&id) else { return };
        self.hold_bytes = self.hold_bytes.saturating_sub(hold.bytes);
        if let Some(segment) = self.segment_mut(hold.position.segment) {
            segment.holds = segment.holds.saturating_sub(1);
        }
    }

    pub(crate) fn settled_written(&mut self, position: Position, number: u64) {
        if let Some(segment) = self.segment_mut(position.segment) {
            segment.last_settled = segment.last_settled.max(number);
        }
    }

    fn segment_mut(&mut self, sequence: u64) -> Option<&mut Segment> {
        let found = self.segments.binary_search_by_key(&sequence, |segment| segment.sequence).ok()?;
        self.segments.get_mut(found)
    }

    /// The oldest segment, if nothing in it matters any more.
    pub(crate) fn dead_segment(&self) -> Option<Segment> {
        let oldest = *self.segments.front()?;
        (self.segments.len() > 1 && oldest.holds == 0 && oldest.last_settled <= self.applied).then_some(oldest)
    }

    pub(crate) fn forget_segment(&mut self, dead: Segment) {
        self.segments.retain(|segment| segment.sequence != dead.sequence);
        self.bytes = self.bytes.saturating_sub(dead.bytes);
    }

    /// The holds in the oldest segment, if they alone pin it and much behind it. Copying pays only while more than half
    /// of the journal is dead weight.
    pub(crate) fn pinning_holds(&self) -> Vec<(UsageEventId, HoldAt)> {
        let Some(oldest) = self.segments.front() else { return Vec::new() };
        let pinned = oldest.holds > 0 && oldest.last_settled <= self.applied;
        let worth = self.bytes > 2 * self.hold_bytes + 4 * self.segment_bytes;
        if !pinned || !worth || self.segments.len() < SEGMENTS_BEFORE_COPYING {
            return Vec::new();
        }
        let there = |hold: &HoldAt| hold.position.segment == oldest.sequence;
        self.holds.iter().filter(|(_, hold)| there(hold)).map(|(id, hold)| (*id, *hold)).collect()
    }

    /// Whether `trim` has something to do.
    pub(crate) fn wants_trim(&self) -> bool {
        self.failure.is_none() && (self.dead_segment().is_some() || !self.pinning_holds().is_empty())
    }

    /// What must be synced for everything written so far to last.
    pub(crate) fn begin_sync(&mut self) -> SyncJob {
        let mut files = std::mem::take(&mut self.dirty);
        files.push(Arc::clone(&self.file));
        SyncJob {
            files,
            directory: std::mem::take(&mut self.directory_dirty).then(|| self.directory.clone()),
            disk: Arc::clone(&self.disk),
            frames: std::mem::take(&mut self.unsynced),
            end: self.end(),
        }
    }

    /// Takes note of how the sync went.
    pub(crate) fn end_sync(&mut self, mut job: SyncJob, result: io::Result<()>) -> Result<(), Arc<io::Error>> {
        if let Err(error) = result {
            job.frames.append(&mut self.unsynced);
            self.unsynced = job.frames;
            return Err(self.fail(error));
        }
        self.synced = job.end;
        if self.unsynced.is_empty() {
            job.frames.clear();
            self.unsynced = job.frames;
        }
        Ok(())
    }
}

/// A sync to be done without the lock.
pub(crate) struct SyncJob {
    files: Vec<Arc<dyn SegmentFile>>,
    directory: Option<PathBuf>,
    disk: Arc<dyn Disk>,
    frames: Vec<u8>,
    pub(crate) end: Position,
}

impl SyncJob {
    pub(crate) fn run(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync())?;
        self.directory.as_ref().map_or(Ok(()), |directory| self.disk.sync_directory(directory))
    }
}

/// A new file with its header, or none at all. It is the file that was made ahead, where that was ready.
pub(crate) fn start_segment(
    disk: &dyn Disk,
    path: &Path,
    sequence: u64,
    ahead: Option<Taken<'_>>,
) -> io::Result<Arc<dyn SegmentFile>> {
    let filled = ahead.as_ref().and_then(Taken::path);
    let adopted = filled.and_then(|filled| disk.adopt(filled, path).ok());
    drop(ahead);
    let file = adopted.map_or_else(|| disk.create(path), Ok)?;
    if let Err(error) = file.append(&segment::header(sequence)) {
        let _ = disk.remove(path);
        return Err(error);
    }
    Ok(file)
}

/// Reads one record back; `None` where it is damaged.
pub(crate) fn read_back(directory: &Path, hold: HoldAt) -> io::Result<Option<Vec<u8>>> {
    let path = directory.join(segment::file_name(hold.position.segment));
    let end = hold.position.offset + hold.bytes;
    let mut reader = SegmentReader::open(&path, hold.position.offset, Some(end))?;
    let whole = reader.next_piece()?.is_some_and(|piece| piece.whole && piece.bytes == hold.bytes);
    Ok(whole.then(|| reader.bytes().to_vec()))
}
