//! The thread that settles: it writes all settlements that wait, syncs once, and only then lets anyone know. Between
//! groups it gives space back and, after a failure, tries to get the journal going again.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::atomic::Ordering;

use ledger::{Timestamp, UsageEvent, UsageEventId};

use crate::JournalError;
use crate::frame::{self, Record};
use crate::inner::{COMMANDS_PER_ROUND_MAX, Inner, PROBE_EVERY, Settlement, SyncCommand, UNSYNCED_BYTES_MAX};
use crate::log::{Segment, read_back};
use crate::segment::{self, Position, widen};

/// Holds whose settlement failed: they are settled as their records say, as if the process had died.
type Failed = VecDeque<(UsageEventId, Timestamp)>;

/// A settlement with its place in the journal.
struct Placed {
    settlement: Settlement,
    number: u64,
    position: Position,
}

/// Runs until the lane is closed and empty; says whether everything is synced then.
pub(crate) fn run(inner: &Inner) -> Result<(), JournalError> {
    let mut commands = Vec::new();
    let mut failed = Failed::new();
    loop {
        let waits = !failed.is_empty() || inner.signs.unwritable.load(Ordering::Relaxed);
        if !inner.syncs.take(&mut commands, COMMANDS_PER_ROUND_MAX, waits.then_some(PROBE_EVERY)) {
            break;
        }
        let mut settlements = Vec::with_capacity(commands.len());
        for command in commands.drain(..) {
            match command {
                SyncCommand::Settle(settlement) => settlements.push(settlement),
                SyncCommand::AsItStands(id, settled_at) => failed.push_back((id, settled_at)),
                SyncCommand::Tidy => {}
            }
        }
        inner.settle_room.add_permits(settlements.len());
        heal(inner);
        settle(inner, settlements, &mut failed);
        settle_failed(inner, &mut failed);
        tidy(inner);
    }
    heal(inner);
    settle_failed(inner, &mut failed);
    let unsynced = !inner.log.lock().unsynced.is_empty();
    if unsynced { inner.sync(0).map(|_| ()).map_err(JournalError::Unwritable) } else { Ok(()) }
}

/// Writes a group, syncs it, and says so.
fn settle(inner: &Inner, settlements: Vec<Settlement>, failed: &mut Failed) {
    if settlements.is_empty() {
        return;
    }
    let (placed, refused) = write(inner, settlements);
    let synced = if placed.is_empty() { Ok(None) } else { inner.sync(placed.len()).map(Some) };
    match synced {
        Ok(end) => publish(inner, placed, end),
        Err(error) => fail(placed.into_iter().map(|it| it.settlement), &JournalError::Unwritable(error), failed),
    }
    if let Some((error, settlements)) = refused {
        fail(settlements.into_iter(), &error, failed);
    }
}

type Refused = Option<(JournalError, Vec<Settlement>)>;

/// Numbers the settlements and hands them to the operating system, as many as the journal has room for.
fn write(inner: &Inner, settlements: Vec<Settlement>) -> (Vec<Placed>, Refused) {
    let bytes_max = inner.options.bytes_max.saturating_add(inner.options.bytes_reserve);
    let mut frames = Vec::new();
    let mut placed = Vec::with_capacity(settlements.len());
    let mut without_room = Vec::new();
    let mut log = inner.log.lock();
    for mut settlement in settlements {
        if log.bytes + widen(frames.len() + settlement.frame.len()) > bytes_max {
            without_room.push(settlement);
            continue;
        }
        let number = log.next_number;
        log.next_number += 1;
        frame::number(&mut settlement.frame, number);
        let position = Position { segment: 0, offset: widen(frames.len()) };
        frames.extend_from_slice(&settlement.frame);
        placed.push(Placed { settlement, number, position });
    }
    let refused = (!without_room.is_empty()).then_some((JournalError::Full { bytes_max }, without_room));
    if placed.is_empty() {
        return (placed, refused);
    }
    let healthy = log.failure.is_none();
    let result = log.append(&frames);
    if let Ok(start) = &result {
        for it in &mut placed {
            it.position = Position { segment: start.segment, offset: start.offset + it.position.offset };
            log.settled_written(it.position, it.number);
        }
    }
    inner.note(&log);
    drop(log);
    match result {
        Ok(_) => (placed, refused),
        Err(error) => {
            if healthy {
                inner.observer.failed();
            }
            let all = placed.into_iter().map(|it| it.settlement).chain(refused.into_iter().flat_map(|(_, rest)| rest));
            (Vec::new(), Some((JournalError::Unwritable(error), all.collect())))
        }
    }
}

/// The group is on disk: its holds are gone, its events are ready, its callers may go on.
fn publish(inner: &Inner, placed: Vec<Placed>, end: Option<Position>) {
    let Some(end) = end else { return };
    let mut log = inner.log.lock();
    for it in &placed {
        log.hold_gone(it.settlement.event.id);
    }
    inner.note(&log);
    drop(log);
    let mut acks = Vec::with_capacity(placed.len());
    let mut ready = inner.ready.lock();
    for it in placed {
        acks.extend(it.settlement.ack);
        ready.publish(it.number, it.position, *it.settlement.event);
    }
    ready.synced_to(end);
    let settled = ready.settled;
    drop(ready);
    // Before the callers go on: one that asks `caught_up` right away must wait for its own event.
    inner.progress.send_modify(|progress| progress.settled = settled);
    for ack in acks {
        let _ = ack.send(Ok(()));
    }
}

fn fail(settlements: impl Iterator<Item = Settlement>, error: &JournalError, failed: &mut Failed) {
    for settlement in settlements {
        failed.push_back((settlement.event.id, settlement.event.settled_at));
        if let Some(ack) = settlement.ack {
            let _ = ack.send(Err(error.clone()));
        }
    }
}

/// Nobody waits for these any more; still each call that reached the backend gets its event.
fn settle_failed(inner: &Inner, failed: &mut Failed) {
    if failed.is_empty() || inner.log.lock().failure.is_some() {
        return;
    }
    let (mut settlements, mut seen) = (Vec::new(), HashSet::new());
    for (id, settled_at) in failed.drain(..) {
        if !seen.insert(id) {
            continue;
        }
        let Some(hold) = inner.log.lock().holds.get(&id).copied() else { continue };
        match read_back(&inner.directory(), hold).map(|frame| frame.and_then(|frame| as_it_stands(&frame, settled_at)))
        {
            Ok(Some(settlement)) => settlements.push(settlement),
            Ok(None) => tracing::error!(event = %id, "a hold's record is damaged: the next start reports it"),
            Err(error) => {
                tracing::error!(event = %id, %error, "a hold's record cannot be read: the next start settles it");
            }
        }
    }
    settle(inner, settlements, failed);
}

fn as_it_stands(frame: &[u8], settled_at: Timestamp) -> Option<Settlement> {
    let Some(Record::Hold(json)) = frame::read(frame) else { return None };
    let mut event: Box<UsageEvent> = serde_json::from_slice(json).ok()?;
    event.settled_at = settled_at;
    let frame = frame::settled(&event).ok()?;
    Some(Settlement { event, frame, ack: None })
}

fn heal(inner: &Inner) {
    let mut log = inner.log.lock();
    if log.failure.is_none() {
        return;
    }
    match log.heal() {
        Ok(()) => tracing::info!("the journal can be written again"),
        Err(error) => {
            tracing::error!(%error, "the journal still cannot be written");
            log.fail(error);
            inner.observer.failed();
        }
    }
    inner.note(&log);
}

/// Syncs what nobody asked to be synced but is much, drops dead segments, copies holds that alone keep one alive.
fn tidy(inner: &Inner) {
    let much = inner.log.lock().unsynced.len() > UNSYNCED_BYTES_MAX;
    if much && inner.sync(0).is_err() {
        return;
    }
    loop {
        let (failure, dead) = {
            let log = inner.log.lock();
            (log.failure.is_some(), log.dead_segment())
        };
        if failure {
            return;
        }
        let step = match dead {
            Some(segment) => drop_segment(inner, segment),
            None => copy_pinning_holds(inner),
        };
        match step {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "the journal cannot give space back now");
                return;
            }
        }
    }
}

/// Each name is gone for good before the next: a segment must never come back without the ones behind it, whose records
/// say what became of its holds.
fn drop_segment(inner: &Inner, segment: Segment) -> io::Result<bool> {
    let path = inner.options.directory.join(segment::file_name(segment.sequence));
    match inner.disk.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    inner.disk.sync_directory(&inner.options.directory)?;
    let mut log = inner.log.lock();
    log.forget_segment(segment);
    inner.note(&log);
    inner.signs.full.store(false, Ordering::Relaxed);
    Ok(true)
}

/// Copies the holds that alone keep the oldest segment alive to the end of the journal.
fn copy_pinning_holds(inner: &Inner) -> io::Result<bool> {
    let holds = inner.log.lock().pinning_holds();
    if holds.is_empty() {
        return Ok(false);
    }
    let mut copies = Vec::with_capacity(holds.len());
    for (id, hold) in holds {
        let frame = read_back(&inner.directory(), hold)?.ok_or(io::ErrorKind::InvalidData)?;
        copies.push((id, hold, frame));
    }
    let mut log = inner.log.lock();
    for (id, hold, frame) in copies {
        // Forgotten in the meantime, or not.
        if log.holds.get(&id) == Some(&hold) {
            let position = log.append(&frame).map_err(|error| io::Error::from(error.kind()))?;
            log.hold_opened(id, position, widen(frame.len()));
        }
    }
    inner.note(&log);
    drop(log);
    inner.sync(0).map_err(|error| io::Error::from(error.kind()))?;
    Ok(true)
}
