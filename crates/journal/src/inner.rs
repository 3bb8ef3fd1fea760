//! What the handle and the two threads share.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ledger::{Timestamp, UsageEvent, UsageEventId};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::ahead::Ahead;
use crate::disk::Disk;
use crate::health::Signs;
use crate::lane::{Lane, NotQueued};
use crate::log::Log;
use crate::ready::Ready;
use crate::segment::Position;
use crate::seldom::Seldom;
use crate::{JournalError, Observer, Options};

/// While something keeps new holds out, how often the threads look whether it has passed.
pub(crate) const PROBE_EVERY: Duration = Duration::from_millis(250);
/// Commands a round: bounds the memory of one write.
pub(crate) const COMMANDS_PER_ROUND_MAX: usize = 1_024;
/// Bytes that may wait for a sync that nobody asks for: what must be written anew if a sync fails.
pub(crate) const UNSYNCED_BYTES_MAX: usize = 1 << 20;

pub(crate) type Ack = oneshot::Sender<Result<(), JournalError>>;

/// For the thread that writes without syncing.
pub(crate) enum WriteCommand {
    Open { id: UsageEventId, frame: Vec<u8>, ack: Ack },
    Forget { id: UsageEventId, ack: Option<Ack> },
    Applied { number: u64, ack: Ack },
}

/// For the thread that syncs.
pub(crate) enum SyncCommand {
    Settle(Settlement),
    /// Settle a hold as its record says: its own settlement cannot be written.
    AsItStands(UsageEventId, Timestamp),
    /// Sync what is written; drop what is dead.
    Tidy,
}

/// An event on its way to the disk.
pub(crate) struct Settlement {
    pub(crate) event: Box<UsageEvent>,
    pub(crate) frame: Vec<u8>,
    pub(crate) ack: Option<Ack>,
}

/// How far events have come, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) settled: u64,
    pub(crate) applied: u64,
    pub(crate) closed: bool,
}

pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) writes: Lane<WriteCommand>,
    pub(crate) syncs: Lane<SyncCommand>,
    /// Room in the queue of settlements.
    pub(crate) settle_room: Semaphore,
    /// Waited for by the two threads only, and never held across a sync: a task on the runtime takes it where it is free.
    pub(crate) log: Mutex<Log>,
    pub(crate) ahead: Arc<Ahead>,
    pub(crate) ready: Mutex<Ready>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) signs: Signs,
    pub(crate) disk_looked_at: Seldom,
    /// One reader at a time brings events back from disk.
    pub(crate) refill: tokio::sync::Mutex<()>,
}

impl Inner {
    pub(crate) fn new(options: Options, observer: Arc<dyn Observer>, log: Log, ready: Ready) -> Self {
        let progress = Progress { settled: ready.settled, applied: log.applied, closed: false };
        let inner = Self {
            disk: Arc::clone(&log.disk),
            ahead: Arc::clone(&log.ahead),
            writes: Lane::new(),
            syncs: Lane::new(),
            settle_room: Semaphore::new(options.queue_records_max),
            ready: Mutex::new(ready),
            progress: watch::Sender::new(progress),
            signs: Signs::default(),
            disk_looked_at: Seldom::every(options.disk_look_every),
            refill: tokio::sync::Mutex::new(()),
            log: Mutex::new(log),
            options,
            observer,
        };
        inner.note(&inner.log.lock());
        inner
    }

    /// Shows everybody what the log looks like now.
    pub(crate) fn note(&self, log: &Log) {
        self.signs.open_holds.store(u64::try_from(log.holds.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.signs.bytes.store(log.bytes, Ordering::Relaxed);
        self.signs.unwritable.store(log.failure.is_some(), Ordering::Relaxed);
    }

    pub(crate) fn push_write(&self, command: WriteCommand, commands_max: usize) -> Result<(), JournalError> {
        self.writes.push(command, commands_max).map_err(|why| self.not_queued(why))
    }

    pub(crate) fn not_queued(&self, why: NotQueued) -> JournalError {
        match why {
            NotQueued::Full => JournalError::Busy { records_max: self.options.queue_records_max },
            NotQueued::Closed => JournalError::Closed,
        }
    }

    /// Syncs what is written, and counts it.
    pub(crate) fn sync(&self, records: usize) -> Result<Position, Arc<io::Error>> {
        let job = self.log.lock().begin_sync();
        let started = Instant::now();
        let result = job.run();
        let took = started.elapsed();
        let end = job.end;
        let mut log = self.log.lock();
        let ended = log.end_sync(job, result);
        self.note(&log);
        drop(log);
        match ended {
            Ok(()) if records > 0 => self.observer.synced(records, took),
            Ok(()) => {}
            Err(_) => self.observer.failed(),
        }
        ended.map(|()| end)
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.options.directory.clone()
    }
}
