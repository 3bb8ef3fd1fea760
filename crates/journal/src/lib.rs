//! The journal: what a paid call cost is on disk before its answer's last byte, whatever the store is doing.
//!
//! A hold is appended when it is opened ([`Journal::open_hold`]: with the operating system on return, so it outlives the
//! process), its event when it is settled ([`Journal::settle`]: synced on return, many in one sync). An applier takes
//! settled events to the store in their order ([`Journal::unapplied`], [`Journal::taken`]); once it has persisted them ([`Journal::persisted`]) their space comes back.
//! After a crash a hold without a settlement becomes an event as its record has it. The journal must never acknowledge
//! a settlement before its sync.
//!
//! # How it works
//! Segments of checksummed records, each written at its end, dropped as a whole once nothing in it matters. One thread
//! writes settlements and syncs, another writes holds, so that a hold never waits for a sync. Where nobody else is at the
//! log, a hold is written by its own task: a copy to the page cache (5 µs as a rule, 5 ms at the worst beside syncs that
//! took up to 340 ms) costs less than waking a thread and being woken. A hold that stays open for long is copied forward
//! instead of pinning everything behind it. After a failed write or sync nothing that was in doubt is trusted: it is
//! written anew in another segment (`heal.rs`).
//! `frame.rs` and `segment.rs` have the format.
//!
//! # Why it is our own
//! The embedded stores were measured first: 2 cores, ext4, 700-byte events in groups of 100, one sync a group, old ones
//! deleted as the applier would. In the second column each sync was slowed down by 50 ms, and a single event was written
//! without a sync meanwhile.
//!
//! | | events/s; with holds | a hold beside slow syncs, p50 / p99 | CPU an event | disk full, then not | one flipped byte |
//! |---|---|---|---|---|---|
//! | fjall 3.1.13 | 22 000; 17 000 | 104 / 163 ms | 6 to 9 µs | poisoned until reopened | will not open |
//! | redb 4.6 | 23 000; 27 000 | 107 / 167 ms | 8 to 9 µs | fails until reopened | will not open |
//! | SQLite, WAL | 50 000; 73 000 | 0.05 / 79 ms, at most 2 s | 7 µs | goes on | what follows it is lost |
//! | raft-engine 0.4.2 | 258 000; 171 000 | 55 / 67 ms | 1.5 to 2 µs | goes on | what follows it is lost |
//! | an append-only file | 213 000; 143 000 | 0.005 / 0.04 ms | 1.3 to 1.9 µs | | |
//!
//! None of them takes a write while it syncs: fjall and raft-engine hold their writer's lock across the sync, redb and SQLite
//! have one writer and keep it; redb keeps what was not synced in memory only, so a hold would not outlive the process.
//! Only raft-engine reaches the 100 000 events a second that we want, and a hold waits there for as long as a sync takes.
//! What an answer waits for is a file that grows and a sync, so that is what this is.
//!
//! `cargo bench -p journal` on that machine, callers and applier included: 64 000 calls a second (a hold and a settlement
//! each) with 100 callers, 106 000 with 400; 140 000 and 200 000 settlements alone. 12 to 14 µs of CPU a call and 9 to 16 MB
//! resident then, both for the whole process.

mod error;
mod health;
mod journal;
mod look;
mod options;
mod recovery;

mod inner;
mod lane;
mod seldom;
mod sync;
mod write;

mod ahead;
mod heal;
mod log;
mod ready;

mod disk;
mod frame;
mod segment;

pub use error::JournalError;
pub use health::{Health, Stats};
pub use journal::{Batch, Journal, Observer, Taken};
pub use look::{Look, Waiting, look};
pub use options::Options;
pub use recovery::Recovery;

#[cfg(test)]
mod tests;
