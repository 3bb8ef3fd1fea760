//! After a failed write or sync: a new segment with everything that the failure may have lost.
//!
//! A failed sync says nothing about which bytes arrived, and asking again proves nothing: the operating system may have
//! dropped them and forgotten. So what was not synced is written anew, elsewhere, and what is doubtful is cut off. The
//! settlements in it are left out: whoever waited for them was told that they failed.

use std::io;

use crate::frame::{self, Found, Record};
use crate::log::{Log, Segment, start_segment};
use crate::segment::{HEADER_END, Position, widen};

impl Log {
    /// Tries to write again. On an error everything stays as it was, ready for another try.
    pub(crate) fn heal(&mut self) -> io::Result<()> {
        let sequence = self.end().segment + 1;
        let file = start_segment(&*self.disk, &self.path(sequence), sequence, None)?;
        let frames = self.worth_keeping();
        let written = file.append(&frames).and_then(|()| file.sync());
        let durable =
            written.and_then(|()| self.disk.sync_directory(&self.directory)).and_then(|()| self.cut_doubtful());
        if let Err(error) = durable {
            self.abandon(sequence, widen(frames.len()));
            return Err(error);
        }
        self.adopt(sequence, &frames);
        self.file = file;
        self.failure = None;
        Ok(())
    }

    /// The records that were not synced, without settlements and without holds that are gone.
    fn worth_keeping(&self) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.unsynced.len());
        for_each_frame(&self.unsynced, |_, bytes| {
            let keep = match frame::read(bytes) {
                Some(Record::Hold(json)) => frame::id_in(json).is_some_and(|id| self.holds.contains_key(&id)),
                Some(Record::Forgotten(_) | Record::Applied(_)) => true,
                Some(Record::Settled { .. }) | None => false,
            };
            if keep {
                kept.extend_from_slice(bytes);
            }
        });
        kept
    }

    /// Cuts off what was written after the last sync that succeeded.
    fn cut_doubtful(&self) -> io::Result<()> {
        for doubtful in self.segments.iter().filter(|segment| segment.sequence >= self.synced.segment) {
            let keep = if doubtful.sequence == self.synced.segment { self.synced.offset } else { HEADER_END };
            let file = self.disk.open(&self.path(doubtful.sequence))?;
            file.cut(keep)?;
            file.sync()?;
        }
        Ok(())
    }

    /// Makes the new segment the growing one.
    fn adopt(&mut self, sequence: u64, frames: &[u8]) {
        let synced = self.synced;
        for doubtful in self.segments.iter_mut().filter(|segment| segment.sequence >= synced.segment) {
            doubtful.bytes = if doubtful.sequence == synced.segment { synced.offset } else { HEADER_END };
        }
        let bytes = HEADER_END + widen(frames.len());
        self.segments.push_back(Segment { sequence, bytes, holds: 0, last_settled: 0 });
        self.bytes = self.segments.iter().map(|segment| segment.bytes).sum();
        for_each_frame(frames, |offset, bytes| {
            if let Some(Record::Hold(json)) = frame::read(bytes)
                && let Some(id) = frame::id_in(json)
            {
                let position = Position { segment: sequence, offset: HEADER_END + widen(offset) };
                self.hold_opened(id, position, widen(bytes.len()));
            }
        });
        self.unsynced.clear();
        self.dirty.clear();
        self.directory_dirty = false;
        self.synced = self.end();
    }

    /// Removes a segment that did not come to be. Where even that fails it is kept in mind, so that it goes in its turn.
    fn abandon(&mut self, sequence: u64, frame_bytes: u64) {
        if self.disk.remove(&self.path(sequence)).is_err() {
            let bytes = HEADER_END + frame_bytes;
            self.segments.push_back(Segment { sequence, bytes, holds: 0, last_settled: 0 });
            self.bytes += bytes;
        }
    }
}

fn for_each_frame(frames: &[u8], mut visit: impl FnMut(usize, &[u8])) {
    let mut at = 0;
    while let Some(rest) = frames.get(at..)
        && let Found::Whole(length) = frame::find(rest)
    {
        visit(at, &rest[..length]);
        at += length;
    }
}
