//! Opening a directory: what an earlier life left is read, checked and completed. Damage costs the records it hit, no other;
//! it is copied to a folder of its own and named, never thrown away silently.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::{Timestamp, UsageEvent, UsageEventId};

use crate::ahead::Ahead;
use crate::disk::Disk;
use crate::frame::{self, Record};
use crate::log::{HoldAt, Log, Segment, read_back, start_segment};
use crate::ready::Ready;
use crate::segment::{self, HEADER_END, Header, Position, SegmentReader, widen};
use crate::{JournalError, Options};

/// The folder for damaged records, within the journal's.
const SET_ASIDE: &str = "set-aside";

/// What a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Holds without a settlement, which are events now.
    pub interrupted: Vec<UsageEventId>,
    /// Events that wait to be applied, those included.
    pub unapplied: u64,
    /// Damaged stretches: where they were, which event they name if that can be told, where a copy is. Each is named once.
    pub set_aside: Vec<String>,
}

/// Reads every segment, settles what was interrupted in a new one, and removes what is dead.
pub(crate) fn replay(
    disk: Arc<dyn Disk>,
    options: &Options,
    now: Timestamp,
) -> Result<(Log, Ready, Recovery), JournalError> {
    let directory = options.directory.as_path();
    let sequences = segment::list(directory).map_err(JournalError::io("list", directory))?;
    check_versions(directory, &sequences)?;
    let mut replay = Replay::default();
    let mut damage = Damage { directory: directory.to_owned(), found: Vec::new() };
    for sequence in sequences {
        let path = directory.join(segment::file_name(sequence));
        replay.segment(&path, sequence, &mut damage).map_err(JournalError::io("read", &path))?;
    }
    let interrupted = replay.interrupted(&mut damage, now)?;
    let mut recovery =
        Recovery { interrupted: interrupted.iter().map(|event| event.id).collect(), ..Recovery::default() };
    let mut log = replay.complete(disk, options, &interrupted)?;
    recovery.unapplied = widen(replay.waiting.len() + interrupted.len());
    recovery.set_aside = damage.found;
    drop_dead(&mut log);
    let from = Position { segment: log.segments.front().map_or(0, |first| first.sequence), offset: HEADER_END };
    let mut ready = Ready::replayed(recovery.unapplied, from, log.end(), log.applied, log.next_number - 1);
    if let Some(refill) = ready.wants_refill() {
        ready.refilled(refill, refill.read(directory).map_err(JournalError::io("read", directory))?);
    }
    Ok((log, ready, recovery))
}

/// Nothing is touched where another version has written.
fn check_versions(directory: &Path, sequences: &[u64]) -> Result<(), JournalError> {
    for sequence in sequences {
        let file = directory.join(segment::file_name(*sequence));
        let header = segment::read_header(&file, *sequence).map_err(JournalError::io("read", &file))?;
        if let Header::OtherVersion(found) = header {
            return Err(JournalError::Version { file, found, wanted: segment::VERSION });
        }
    }
    Ok(())
}

/// What the segments say, in their order.
#[derive(Default)]
struct Replay {
    segments: VecDeque<Segment>,
    holds: HashMap<UsageEventId, HoldAt>,
    /// Numbers of the settled events that were not applied.
    waiting: VecDeque<u64>,
    applied: u64,
    last_number: u64,
}

impl Replay {
    fn segment(&mut self, path: &Path, sequence: u64, damage: &mut Damage) -> io::Result<()> {
        let bytes = fs::metadata(path)?.len();
        self.segments.push_back(Segment { sequence, bytes, holds: 0, last_settled: 0 });
        // One that was begun and never written to has no header, and nothing else.
        if bytes > 0 && segment::read_header(path, sequence)? == Header::Damaged {
            let header = fs::read(path)?.into_iter().take(segment::HEADER_BYTES).collect();
            damage.set_aside(sequence, 0, header)?;
        }
        let mut reader = SegmentReader::open(path, HEADER_END, None)?;
        let mut bad: Option<(u64, Vec<u8>)> = None;
        while let Some(piece) = reader.next_piece()? {
            let position = Position { segment: sequence, offset: piece.offset };
            if piece.whole && self.record(position, reader.bytes()) {
                if let Some((offset, bytes)) = bad.take() {
                    damage.set_aside(sequence, offset, bytes)?;
                }
            } else {
                let (_, bytes) = bad.get_or_insert_with(|| (piece.offset, Vec::new()));
                bytes.extend_from_slice(reader.bytes());
            }
        }
        bad.map_or(Ok(()), |(offset, mut bytes)| {
            // What is behind a torn record was never written.
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(written);
            damage.set_aside(sequence, offset, bytes)
        })
    }

    /// Takes in one record; false where it says nothing that is known here.
    fn record(&mut self, position: Position, bytes: &[u8]) -> bool {
        match frame::read(bytes) {
            Some(Record::Hold(json)) => {
                let Some(id) = frame::id_in(json) else { return false };
                self.holds.insert(id, HoldAt { position, bytes: widen(bytes.len()) });
            }
            Some(Record::Settled { number, json }) => {
                let Some(id) = frame::id_in(json) else { return false };
                self.holds.remove(&id);
                self.last_number = self.last_number.max(number);
                if number > self.applied {
                    self.waiting.push_back(number);
                }
                if let Some(segment) = self.segments.back_mut() {
                    segment.last_settled = segment.last_settled.max(number);
                }
            }
            Some(Record::Forgotten(id)) => {
                self.holds.remove(&id);
            }
            Some(Record::Applied(number)) => {
                self.applied = self.applied.max(number);
                self.last_number = self.last_number.max(number);
                while self.waiting.pop_front_if(|waiting| *waiting <= number).is_some() {}
            }
            None => return false,
        }
        true
    }

    /// The events of the holds that nobody settled, oldest first.
    fn interrupted(&self, damage: &mut Damage, now: Timestamp) -> Result<Vec<UsageEvent>, JournalError> {
        let mut holds: Vec<_> = self.holds.iter().collect();
        holds.sort_unstable_by_key(|(id, _)| **id);
        let mut events = Vec::with_capacity(holds.len());
        let directory = damage.directory.clone();
        let failed = |error| JournalError::io("read", &directory)(error);
        for (_, hold) in holds {
            let Some(frame) = read_back(&directory, *hold).map_err(failed)? else { continue };
            let parsed = match frame::read(&frame) {
                Some(Record::Hold(json)) => serde_json::from_slice::<UsageEvent>(json).ok(),
                _ => None,
            };
            match parsed {
                Some(mut event) => {
                    event.settled_at = now.max(event.occurred_at);
                    events.push(event);
                }
                None => damage.set_aside(hold.position.segment, hold.position.offset, frame).map_err(failed)?,
            }
        }
        Ok(events)
    }

    /// The log, which goes on in a new segment that starts with the interrupted events, durably.
    fn complete(
        &self,
        disk: Arc<dyn Disk>,
        options: &Options,
        interrupted: &[UsageEvent],
    ) -> Result<Log, JournalError> {
        let directory = options.directory.clone();
        let sequence = self.segments.back().map_or(1, |last| last.sequence + 1);
        let mut frames = Vec::new();
        let mut number = self.last_number;
        for event in interrupted {
            number += 1;
            let mut frame = frame::settled(event)?;
            frame::number(&mut frame, number);
            frames.extend_from_slice(&frame);
        }
        let path = directory.join(segment::file_name(sequence));
        let failed = || JournalError::io("write", &path);
        let ahead = Arc::new(Ahead::new(&directory, options.segment_bytes(), options.disk_free_bytes_min));
        ahead.make(&*disk);
        let file = start_segment(&*disk, &path, sequence, Some(ahead.take())).map_err(failed())?;
        file.append(&frames).and_then(|()| file.sync()).map_err(failed())?;
        disk.sync_directory(&directory).map_err(failed())?;
        let bytes = HEADER_END + widen(frames.len());
        let last_settled = if interrupted.is_empty() { 0 } else { number };
        let mut segments = self.segments.clone();
        segments.push_back(Segment { sequence, bytes, holds: 0, last_settled });
        Ok(Log {
            disk,
            directory,
            segment_bytes: options.segment_bytes(),
            ahead,
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segments,
            file,
            holds: HashMap::new(),
            hold_bytes: 0,
            next_number: number + 1,
            applied: self.applied,
            unsynced: Vec::new(),
            dirty: Vec::new(),
            directory_dirty: false,
            synced: Position { segment: sequence, offset: bytes },
            failure: None,
        })
    }
}

/// Removes dead segments, oldest first. What cannot be removed now is tried again later.
fn drop_dead(log: &mut Log) {
    while let Some(dead) = log.dead_segment() {
        let removed = log.disk.remove(&log.path(dead.sequence)).and_then(|()| log.disk.sync_directory(&log.directory));
        if let Err(error) = removed {
            tracing::warn!(%error, "a journal segment that is no longer needed cannot be removed");
            return;
        }
        log.forget_segment(dead);
    }
}

/// Damaged bytes, on their way to a place where someone can look at them.
struct Damage {
    directory: PathBuf,
    found: Vec<String>,
}

impl Damage {
    /// Copies the bytes to a file of their own, unless an earlier start did so.
    fn set_aside(&mut self, sequence: u64, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let folder = self.directory.join(SET_ASIDE);
        fs::create_dir_all(&folder)?;
        let copy = folder.join(format!("{sequence:020}-{offset}"));
        if copy.exists() {
            return Ok(());
        }
        let mut file = fs::File::create(&copy)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        let event = event_named_in(&bytes).map_or_else(String::new, |id| format!(" of {id}"));
        self.found.push(format!(
            "{}, {} bytes from byte {offset}{event}: set aside in {SET_ASIDE}/{sequence:020}-{offset}",
            segment::file_name(sequence),
            bytes.len(),
        ));
        Ok(())
    }
}

/// The first event id that can be read in damaged bytes.
fn event_named_in(bytes: &[u8]) -> Option<UsageEventId> {
    let prefix = UsageEventId::PREFIX.as_bytes();
    let mut starts = bytes.windows(prefix.len()).enumerate().filter(|(_, window)| *window == prefix);
    starts.find_map(|(at, _)| std::str::from_utf8(bytes.get(at..at + prefix.len() + 36)?).ok()?.parse().ok())
}
