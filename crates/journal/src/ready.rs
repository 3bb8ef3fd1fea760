//! Settled, synced events on their way to the store: the oldest in memory, up to a bound, the rest on disk.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use ledger::{Timestamp, UsageEvent};

use crate::frame::{self, Record};
use crate::segment::{self, Position, SegmentReader};

/// Events kept in memory, some 2 MB. Those beyond wait on disk and are read back in their turn.
pub(crate) const EVENTS_IN_MEMORY_MAX: usize = 1_024;

/// Events that are kept while earlier ones are read back.
const EVENTS_BEHIND_MAX: usize = EVENTS_IN_MEMORY_MAX;

/// The queue between settling and applying. Its lock is held for moments only.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The oldest events that were not applied, with their numbers.
    events: VecDeque<(u64, UsageEvent)>,
    /// Where the events start that are on disk only.
    spilled: Option<Position>,
    /// The events behind those that are being read back: with them the queue is whole again. `None` where they are too many.
    behind: Option<Vec<(u64, UsageEvent)>>,
    /// Events that were not applied, in memory and on disk.
    pub(crate) unapplied: u64,
    /// When the oldest of them was settled; where it is on disk only, when the one before it was.
    pub(crate) oldest: Option<Timestamp>,
    /// The last event that was synced.
    pub(crate) settled: u64,
    /// The last event that was applied or taken into memory.
    taken: u64,
    /// Nothing past this place was synced.
    end: Position,
}

/// What `refill` has to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refill {
    from: Position,
    end: Position,
    after: u64,
    settled: u64,
}

/// What `refill` has read.
#[derive(Debug)]
pub(crate) struct Refilled {
    events: Vec<(u64, UsageEvent)>,
    /// Where to go on; `None` at the end.
    next: Option<Position>,
}

impl Ready {
    /// After a replay: `unapplied` events from `from` on, all on disk.
    pub(crate) fn replayed(unapplied: u64, from: Position, end: Position, applied: u64, settled: u64) -> Self {
        let spilled = (unapplied > 0).then_some(from);
        Self { events: VecDeque::new(), spilled, behind: None, unapplied, oldest: None, settled, taken: applied, end }
    }

    /// Takes in an event that is on disk now. They come in the order of their numbers.
    pub(crate) fn publish(&mut self, number: u64, position: Position, event: UsageEvent) {
        self.unapplied += 1;
        self.settled = number;
        self.oldest.get_or_insert(event.settled_at);
        if self.spilled.is_some() {
            if self.behind.as_ref().is_some_and(|behind| behind.len() == EVENTS_BEHIND_MAX) {
                self.behind = None;
            }
            if let Some(behind) = &mut self.behind {
                behind.push((number, event));
            }
            return;
        }
        if self.events.len() < EVENTS_IN_MEMORY_MAX {
            self.taken = number;
            self.events.push_back((number, event));
        } else {
            self.spilled = Some(position);
        }
    }

    /// Everything up to this place is synced.
    pub(crate) fn synced_to(&mut self, end: Position) {
        self.end = end;
    }

    /// The oldest events, and the number of the last of them.
    pub(crate) fn first(&self, limit: usize) -> Option<(Vec<UsageEvent>, u64)> {
        let first: Vec<_> = self.events.iter().take(limit.max(1)).collect();
        let last = first.last()?.0;
        Some((first.into_iter().map(|(_, event)| event.clone()).collect(), last))
    }

    /// Drops the events up to this number.
    pub(crate) fn applied(&mut self, last: u64) {
        while let Some((_, event)) = self.events.pop_front_if(|(number, _)| *number <= last) {
            self.unapplied = self.unapplied.saturating_sub(1);
            self.oldest = Some(event.settled_at);
        }
        if let Some((_, event)) = self.events.front() {
            self.oldest = Some(event.settled_at);
        } else if self.spilled.is_none() {
            (self.oldest, self.unapplied) = (None, 0);
        }
    }

    /// What to read once the memory is empty. What is settled from now on is kept to follow it.
    pub(crate) fn wants_refill(&mut self) -> Option<Refill> {
        let from = self.spilled.filter(|_| self.events.is_empty())?;
        self.behind = Some(Vec::new());
        Some(Refill { from, end: self.end, after: self.taken, settled: self.settled })
    }

    /// Takes in what was read, and what was settled in the meantime, if that was not too much; else it comes next.
    pub(crate) fn refilled(&mut self, asked: Refill, read: Refilled) {
        self.events.extend(read.events);
        self.spilled = read.next.or((self.end != asked.end).then_some(asked.end));
        if let (None, Some(behind)) = (read.next, self.behind.take()) {
            self.events.extend(behind);
            self.spilled = None;
        }
        self.taken = self.events.back().map_or(self.taken, |(number, _)| *number);
        if let Some((_, event)) = self.events.front() {
            self.oldest = Some(event.settled_at);
        }
        if self.spilled.is_none() {
            // Exact again, whatever damage the reading met.
            self.unapplied = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        }
    }
}

impl Refill {
    /// Reads the next events from disk. Damage was set aside when the journal was opened; what has been damaged since is
    /// reported and passed over.
    pub(crate) fn read(self, directory: &Path) -> io::Result<Refilled> {
        let mut events = Vec::new();
        let mut from = self.from;
        while from.segment <= self.end.segment {
            let path = directory.join(segment::file_name(from.segment));
            let to = (from.segment == self.end.segment).then_some(self.end.offset);
            let mut reader = match SegmentReader::open(&path, from.offset, to) {
                Ok(reader) => reader,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    from = start_of(from.segment + 1);
                    continue;
                }
                Err(error) => return Err(error),
            };
            while let Some(piece) = reader.next_piece()? {
                if events.len() == EVENTS_IN_MEMORY_MAX {
                    return Ok(Refilled {
                        events,
                        next: Some(Position { segment: from.segment, offset: piece.offset }),
                    });
                }
                let record = piece.whole.then(|| frame::read(reader.bytes())).flatten();
                let event = match record {
                    Some(Record::Settled { number, json }) if number > self.after && number <= self.settled => {
                        serde_json::from_slice(json).ok().map(|event| (number, event))
                    }
                    Some(_) => continue,
                    None => None,
                };
                if event.is_none() {
                    tracing::error!(file = %path.display(), offset = piece.offset, "a damaged record of the journal is passed over");
                }
                events.extend(event);
            }
            from = start_of(from.segment + 1);
        }
        Ok(Refilled { events, next: None })
    }
}

fn start_of(segment: u64) -> Position {
    Position { segment, offset: segment::HEADER_END }
}
