//! A look at a journal's directory by somebody who does not own it: what waits to be applied, and which holds are open.
//! It must never write, remove or keep anything there.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use ledger::{Credits, OrganizationId, UsageEvent, UsageEventId};

use crate::JournalError;
use crate::frame::{self, Record};
use crate::segment::{self, HEADER_END, Header, SegmentReader, widen};

/// What the records of a directory say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether a gateway owns the directory. Then it went on while it was looked at, and the rest is true more or less.
    pub owned: bool,
    /// Settled events that are not marked as applied.
    pub waiting: u64,
    /// Σ their credits.
    pub waiting_credits: Credits,
    /// Holds without a settlement: calls on their way, or what a start will make events of that cost nothing.
    pub holds: u64,
    /// Σ what they hold.
    pub held: Credits,
    /// Damaged stretches, which a start will set aside. What an owner is writing at this moment is none.
    pub damaged: u64,
}

/// An event that is not marked as applied. The store may have it all the same: the mark comes seconds later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whose.
    pub organization_id: OrganizationId,
    /// Which.
    pub id: UsageEventId,
    /// What it charges.
    pub credits: Credits,
}

impl Look {
    /// The store has this event.
    pub fn is_there(&mut self, event: &Waiting) {
        self.waiting = self.waiting.saturating_sub(1);
        self.waiting_credits = self.waiting_credits.saturating_sub(event.credits);
    }
}

/// Looks at a directory, and names what waits, the oldest first. Where there is none, nothing waits. Blocks: call it where that is allowed.
///
/// Whether somebody owns it is found by sharing the lock for an instant, in which a gateway that starts would be refused.
pub fn look(directory: &Path) -> Result<(Look, Vec<Waiting>), JournalError> {
    let sequences = match segment::list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Look::default(), Vec::new())),
        listed => listed.map_err(JournalError::io("list", directory))?,
    };
    let owned = is_owned(directory)?;
    let last = sequences.last().copied();
    let mut seen = Seen::default();
    for sequence in sequences {
        let path = directory.join(segment::file_name(sequence));
        match seen.segment(&path, sequence, owned && last == Some(sequence)) {
            // Its owner had no more need of it.
            Err(Unread::Io(error)) if owned && error.kind() == io::ErrorKind::NotFound => {}
            Err(Unread::Io(error)) => return Err(JournalError::io("read", &path)(error)),
            Err(Unread::Version(found)) => {
                return Err(JournalError::Version { file: path, found, wanted: segment::VERSION });
            }
            Ok(()) => {}
        }
    }
    Ok(seen.summed(owned))
}

/// Whether somebody else has the lock.
fn is_owned(directory: &Path) -> Result<bool, JournalError> {
    let path = directory.join("lock");
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(JournalError::io("open", &path))?,
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &path)(error)),
    }
}

/// Why a segment was not read.
enum Unread {
    Io(io::Error),
    Version(u32),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the segments say, in their order. Of an event no more is kept than is summed.
#[derive(Default)]
struct Seen {
    holds: HashMap<UsageEventId, Credits>,
    waiting: VecDeque<(u64, Waiting)>,
    applied: u64,
    damaged: u64,
}

impl Seen {
    /// Takes in a segment. What the one that `is_growing` ends with may be a record that is not whole yet.
    fn segment(&mut self, path: &Path, sequence: u64, is_growing: bool) -> Result<(), Unread> {
        match segment::read_header(path, sequence)? {
            Header::OtherVersion(found) => return Err(Unread::Version(found)),
            Header::Damaged if std::fs::metadata(path)?.len() > 0 && !is_growing => {
                self.damaged = self.damaged.saturating_add(1);
            }
            Header::Damaged | Header::Ours => {}
        }
        let mut reader = SegmentReader::open(path, HEADER_END, None)?;
        let mut in_damage = false;
        while let Some(piece) = reader.next_piece()? {
            if piece.whole && self.record(reader.bytes()) {
                self.damaged = self.damaged.saturating_add(u64::from(in_damage));
                in_damage = false;
            } else {
                in_damage = true;
            }
        }
        self.damaged = self.damaged.saturating_add(u64::from(in_damage && !is_growing));
        Ok(())
    }

    /// Takes in one record; false where it says nothing that is known here.
    fn record(&mut self, bytes: &[u8]) -> bool {
        match frame::read(bytes) {
            Some(Record::Hold(json)) => {
                let Some(event) = parsed(json) else { return false };
                self.holds.insert(event.id, event.held);
            }
            Some(Record::Settled { number, json }) => {
                let Some(event) = parsed(json) else { return false };
                self.holds.remove(&event.id);
                if number > self.applied {
                    let UsageEvent { organization_id, id, credits, .. } = event;
                    self.waiting.push_back((number, Waiting { organization_id, id, credits }));
                }
            }
            Some(Record::Forgotten(id)) => {
                self.holds.remove(&id);
            }
            Some(Record::Applied(number)) => {
                self.applied = self.applied.max(number);
                while self.waiting.pop_front_if(|(waiting, _)| *waiting <= number).is_some() {}
            }
            None => return false,
        }
        true
    }

    fn summed(self, owned: bool) -> (Look, Vec<Waiting>) {
        let sum = |all: &mut dyn Iterator<Item = Credits>| all.fold(Credits::ZERO, Credits::saturating_add);
        let look = Look {
            owned,
            waiting: widen(self.waiting.len()),
            waiting_credits: sum(&mut self.waiting.iter().map(|(_, event)| event.credits)),
            holds: widen(self.holds.len()),
            held: sum(&mut self.holds.values().copied()),
            damaged: self.damaged,
        };
        (look, self.waiting.into_iter().map(|(_, event)| event).collect())
    }
}

fn parsed(json: &[u8]) -> Option<UsageEvent> {
    serde_json::from_slice(json).ok()
}
