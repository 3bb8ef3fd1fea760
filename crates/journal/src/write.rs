//! How holds are handed to the operating system: by the caller itself where the log is free, by a thread otherwise.
//! Neither syncs, so a hold never waits for a disk.

use std::sync::atomic::Ordering;
use std::time::Instant;

use ledger::UsageEventId;
use parking_lot::MutexGuard;

use crate::JournalError;
use crate::frame;
use crate::inner::{Ack, COMMANDS_PER_ROUND_MAX, Inner, PROBE_EVERY, SyncCommand, UNSYNCED_BYTES_MAX, WriteCommand};
use crate::log::Log;
use crate::segment::{Position, widen};

/// A record of this round.
struct Written {
    what: What,
    /// Where in the round's bytes.
    start: usize,
    end: usize,
    ack: Option<Ack>,
}

enum What {
    Opened(UsageEventId),
    Forgotten(UsageEventId),
    Applied(u64),
}

/// Runs until the lane is closed and empty.
pub(crate) fn run(inner: &Inner) {
    let mut commands = Vec::new();
    let mut frames = Vec::new();
    loop {
        let nearly_full = inner.signs.disk_nearly_full.load(Ordering::Relaxed);
        if !inner.writes.take(&mut commands, COMMANDS_PER_ROUND_MAX, nearly_full.then_some(PROBE_EVERY)) {
            return;
        }
        let space =
            look_at_disk(inner, nearly_full || commands.iter().any(|it| matches!(it, WriteCommand::Open { .. })));
        frames.clear();
        round(inner, inner.log.lock(), commands.drain(..), &mut frames, &space);
    }
}

/// Carries a command out in the caller's own thread, if nobody else is at the log: one write to the page cache costs
/// less than waking a thread twice. Hands the command back otherwise; it never waits.
pub(crate) fn at_once(inner: &Inner, command: WriteCommand) -> Result<(), WriteCommand> {
    // Where there is no room it is the thread that refuses: it then looks again by itself until there is.
    if inner.signs.unwritable.load(Ordering::Relaxed) {
        return Err(command);
    }
    if inner.disk_looked_at.due(Instant::now()) && look_at_disk(inner, true).is_err() {
        return Err(command);
    }
    let Some(log) = inner.log.try_lock() else { return Err(command) };
    if inner.signs.disk_nearly_full.load(Ordering::Relaxed) {
        return Err(command);
    }
    // Asked under the lock: once the last sync is done and the directory let go, nothing may be written any more.
    if inner.signs.closed.load(Ordering::Relaxed) {
        return Err(command);
    }
    round(inner, log, std::iter::once(command), &mut Vec::new(), &Ok(()));
    Ok(())
}

/// One write for all that waits.
fn round(
    inner: &Inner,
    mut log: MutexGuard<'_, Log>,
    commands: impl Iterator<Item = WriteCommand>,
    frames: &mut Vec<u8>,
    space: &Result<(), JournalError>,
) {
    let mut written = Vec::new();
    for command in commands {
        let start = frames.len();
        let (what, ack) = match command {
            WriteCommand::Open { id, frame, ack } => {
                if let Err(refused) = space.clone().and_then(|()| room(inner, &log, start + frame.len())) {
                    let _ = ack.send(Err(refused));
                    continue;
                }
                frames.extend_from_slice(&frame);
                (What::Opened(id), Some(ack))
            }
            WriteCommand::Forget { id, ack } => {
                frames.extend_from_slice(&frame::forgotten(id));
                (What::Forgotten(id), ack)
            }
            WriteCommand::Applied { number, ack } => {
                frames.extend_from_slice(&frame::applied(number));
                (What::Applied(number), Some(ack))
            }
        };
        written.push(Written { what, start, end: frames.len(), ack });
    }
    if written.is_empty() {
        return;
    }
    let healthy = log.failure.is_none();
    let result = log.append(frames);
    for record in &written {
        take_note(&mut log, record, frames, result.as_ref().ok().copied());
    }
    inner.note(&log);
    let tidy = log.wants_trim() || log.unsynced.len() > UNSYNCED_BYTES_MAX;
    drop(log);
    if result.is_err() && healthy {
        inner.observer.failed();
    }
    if tidy || result.is_err() {
        // One that waits is enough, and at the end the other thread tidies anyway.
        let _ = inner.syncs.push(SyncCommand::Tidy, 1);
    }
    let result = result.map(|_| ()).map_err(JournalError::Unwritable);
    for ack in written.into_iter().filter_map(|record| record.ack) {
        let _ = ack.send(result.clone());
    }
}

/// Whether a hold may still be written after which the journal has `more` bytes more.
fn room(inner: &Inner, log: &Log, more: usize) -> Result<(), JournalError> {
    let bytes_max = inner.options.bytes_max;
    let full = log.bytes + widen(more) > bytes_max;
    inner.signs.full.store(full, Ordering::Relaxed);
    if full { Err(JournalError::Full { bytes_max }) } else { Ok(()) }
}

/// What a record changes. Where it could not be written, a hold was never opened; the rest still happened, and is written
/// as soon as the journal can be.
fn take_note(log: &mut Log, record: &Written, frames: &[u8], start: Option<Position>) {
    let bytes = frames.get(record.start..record.end).unwrap_or_default();
    match (&record.what, start) {
        (What::Opened(id), Some(start)) => {
            let position = Position { offset: start.offset + widen(record.start), ..start };
            log.hold_opened(*id, position, widen(bytes.len()));
            return;
        }
        (What::Opened(_), None) => return,
        (What::Forgotten(id), _) => log.hold_gone(*id),
        (What::Applied(number), _) => log.applied = log.applied.max(*number),
    }
    if start.is_none() {
        log.defer(bytes);
    }
}

fn look_at_disk(inner: &Inner, needed: bool) -> Result<(), JournalError> {
    if !needed {
        return Ok(());
    }
    let free_bytes_min = inner.options.disk_free_bytes_min;
    // A file system that cannot say how much is free is not for that reason full.
    let free_bytes = inner.disk.free_bytes(&inner.options.directory).unwrap_or(u64::MAX);
    let nearly_full = free_bytes < free_bytes_min;
    inner.signs.disk_nearly_full.store(nearly_full, Ordering::Relaxed);
    if nearly_full { Err(JournalError::DiskNearlyFull { free_bytes, free_bytes_min }) } else { Ok(()) }
}
