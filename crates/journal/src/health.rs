//! Whether new holds are taken, and how much is under way.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ledger::Timestamp;

/// Whether new holds are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They are.
    Accepting,
    /// They are not, for this reason.
    Refusing(&'static str),
}

/// How much is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Holds without a settlement.
    pub open_holds: u64,
    /// Settled events that are not in the store yet.
    pub unapplied: u64,
    /// When the oldest of them was settled.
    pub oldest_unapplied: Option<Timestamp>,
    /// Size on disk.
    pub bytes: u64,
    /// Records that wait for the writer or the sync.
    pub queue: u64,
}

/// What the two threads know and everybody may read without waiting for them.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    pub(crate) unwritable: AtomicBool,
    pub(crate) disk_nearly_full: AtomicBool,
    pub(crate) full: AtomicBool,
    pub(crate) closed: AtomicBool,
    pub(crate) open_holds: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl Signs {
    pub(crate) fn health(&self) -> Health {
        let on = |sign: &AtomicBool| sign.load(Ordering::Relaxed);
        match () {
            () if on(&self.closed) => Health::Refusing("the journal is closed"),
            () if on(&self.unwritable) => Health::Refusing("the journal cannot be written"),
            () if on(&self.disk_nearly_full) => Health::Refusing("the journal's disk is nearly full"),
            () if on(&self.full) => Health::Refusing("the journal is full"),
            () => Health::Accepting,
        }
    }
}
