//! The journal's handle: what the gateway's tasks call. No call touches a file on the caller's thread.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use ledger::{Timestamp, UsageEvent, UsageEventId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::disk::{Disk, SystemDisk};
use crate::inner::{Inner, Progress, Settlement, SyncCommand, WriteCommand};
use crate::{Health, JournalError, Options, Recovery, Stats, ahead, frame, recovery, sync, write};

/// Told what the journal does, for metrics. Called on the journal's threads: it must not block.
pub trait Observer: Send + Sync + 'static {
    /// One sync made this many settled events durable.
    fn synced(&self, records: usize, took: Duration);
    /// A write or a sync failed.
    fn failed(&self);
}

/// Settled events on their way to the store.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In the order in which they were settled.
    pub events: Vec<UsageEvent>,
    last: u64,
}

/// How far the store has taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken(u64);

/// A journal. Clones share it; it closes with the last one, but only [`Journal::close`] says whether that went well.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    inner: Arc<Inner>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    write: JoinHandle<()>,
    sync: JoinHandle<Result<(), JournalError>>,
    ahead: JoinHandle<()>,
    /// Locked for as long as the threads run.
    _lock: File,
}

impl Journal {
    /// Opens a directory and replays what an earlier life left in it. A hold without a settlement becomes an event as it
    /// stands in its record, settled `now`, durably, before this returns. Blocks: call it where that is allowed.
    pub fn open(
        options: Options,
        observer: Arc<dyn Observer>,
        now: Timestamp,
    ) -> Result<(Self, Recovery), JournalError> {
        Self::open_on(Arc::new(SystemDisk), options, observer, now)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        observer: Arc<dyn Observer>,
        now: Timestamp,
    ) -> Result<(Self, Recovery), JournalError> {
        let lock = own(&options)?;
        let (log, ready, recovery) = recovery::replay(disk, &options, now)?;
        let inner = Arc::new(Inner::new(options, observer, log, ready));
        let (writer, syncer, filler) = (Arc::clone(&inner), Arc::clone(&inner), Arc::clone(&inner));
        let failed = JournalError::io("start a thread for", &inner.options.directory);
        let threads = (|| {
            let write = Builder::new().name("journal-write".into()).spawn(move || {
                let _ended = Ended(&writer);
                write::run(&writer);
            })?;
            let sync = Builder::new().name("journal-sync".into()).spawn(move || {
                let _ended = Ended(&syncer);
                sync::run(&syncer)
            })?;
            let ahead = Builder::new().name("journal-ahead".into()).spawn(move || ahead::run(&filler))?;
            Ok(Threads { write, sync, ahead, _lock: lock })
        })()
        .map_err(failed)?;
        Ok((Self(Arc::new(Handle { inner, threads: Mutex::new(Some(threads)) })), recovery))
    }

    /// Writes down a hold: the event as it would stand if the process died now. On return the operating system has it, so
    /// it survives the process; it is not synced. A future dropped before it is ready leaves no hold.
    pub async fn open_hold(&self, as_interrupted: &UsageEvent) -> Result<(), JournalError> {
        let inner = &self.0.inner;
        let id = as_interrupted.id;
        let frame = frame::hold(as_interrupted)?;
        let (ack, done) = oneshot::channel();
        if let Err(command) = write::at_once(inner, WriteCommand::Open { id, frame, ack }) {
            inner.push_write(command, inner.options.queue_records_max)?;
        }
        let mut unheard = Unheard { inner, id, armed: true };
        let result = done.await;
        unheard.armed = false;
        result.unwrap_or(Err(JournalError::Closed))
    }

    /// Replaces a hold by its event. Returns once the event is synced; a future dropped earlier loses nothing once the event
    /// is queued. After an error the event is settled as its hold's record says, as soon as that can be written: do not
    /// try again.
    pub async fn settle(&self, event: &UsageEvent) -> Result<(), JournalError> {
        let inner = &self.0.inner;
        let frame = frame::settled(event).inspect_err(|_| {
            let _ = inner.syncs.push(SyncCommand::AsItStands(event.id, event.settled_at), usize::MAX);
        })?;
        let (ack, done) = oneshot::channel();
        let settlement = Settlement { event: Box::new(event.clone()), frame, ack: Some(ack) };
        let room = inner.settle_room.acquire().await.map_err(|_| JournalError::Closed)?;
        inner.syncs.push(SyncCommand::Settle(settlement), usize::MAX).map_err(|why| inner.not_queued(why))?;
        // The thread makes room when it takes the settlement.
        room.forget();
        done.await.unwrap_or(Err(JournalError::Closed))
    }

    /// Strikes a hold: the backend was never reached, there is no event. On return the operating system has it.
    pub async fn forget(&self, id: UsageEventId) -> Result<(), JournalError> {
        let (ack, done) = oneshot::channel();
        self.0.inner.push_write(WriteCommand::Forget { id, ack: Some(ack) }, usize::MAX)?;
        done.await.unwrap_or(Err(JournalError::Closed))
    }

    /// Settles a hold as its record says, soon: its call ended by a bug, and nobody knows more. Nothing happens where it is
    /// settled or struck.
    pub fn interrupt(&self, id: UsageEventId, at: Timestamp) {
        // One that is closed leaves the hold to the next start, which does the same.
        let _ = self.0.inner.syncs.push(SyncCommand::AsItStands(id, at), usize::MAX);
    }

    /// The oldest events that were not applied, at most `limit`, in the order in which they were settled. Waits until there
    /// is one. They come again until they are [taken](Self::taken).
    pub async fn unapplied(&self, limit: usize) -> Result<Batch, JournalError> {
        let inner = &self.0.inner;
        let mut progress = inner.progress.subscribe();
        loop {
            let there = |progress: &Progress| progress.closed || progress.settled > progress.applied;
            let closed = progress.wait_for(there).await.map_err(|_| JournalError::Closed)?.closed;
            if closed {
                return Err(JournalError::Closed);
            }
            if let Some((events, last)) = inner.ready.lock().first(limit) {
                return Ok(Batch { events, last });
            }
            let _one_reader = inner.refill.lock().await;
            let refilling = Arc::clone(inner);
            tokio::task::spawn_blocking(move || refill(&refilling)).await.map_err(|_| JournalError::Closed)??;
        }
    }

    /// Says that a batch is in the store, which might still lose it in a power cut: it is not handed out again in this
    /// life.
    pub fn taken(&self, batch: &Batch) -> Taken {
        let inner = &self.0.inner;
        inner.ready.lock().applied(batch.last);
        inner.progress.send_modify(|progress| progress.applied = progress.applied.max(batch.last));
        Taken(batch.last)
    }

    /// What was taken until now.
    pub fn taken_so_far(&self) -> Taken {
        Taken(self.0.inner.progress.borrow().applied)
    }

    /// Says that what was taken until then is in the store, durably: its space comes back.
    pub async fn persisted(&self, taken: Taken) -> Result<(), JournalError> {
        let (ack, done) = oneshot::channel();
        self.0.inner.push_write(WriteCommand::Applied { number: taken.0, ack }, usize::MAX)?;
        done.await.unwrap_or(Err(JournalError::Closed))
    }

    /// Returns when every event that was settled before this call has been taken, or the journal is closed.
    pub async fn caught_up(&self) {
        let inner = &self.0.inner;
        let settled = inner.progress.borrow().settled;
        let _ = inner.progress.subscribe().wait_for(|progress| progress.closed || progress.applied >= settled).await;
    }

    /// Whether new holds are taken.
    pub fn health(&self) -> Health {
        self.0.inner.signs.health()
    }

    /// How much is under way.
    pub fn stats(&self) -> Stats {
        let inner = &self.0.inner;
        let ready = inner.ready.lock();
        Stats {
            open_holds: inner.signs.open_holds.load(Ordering::Relaxed),
            unapplied: ready.unapplied,
            oldest_unapplied: ready.oldest,
            bytes: inner.signs.bytes.load(Ordering::Relaxed),
            queue: u64::try_from(inner.writes.len() + inner.syncs.len()).unwrap_or(u64::MAX),
        }
    }

    /// Writes and syncs what is queued, then lets go of the directory. Later calls are refused.
    pub async fn close(&self) -> Result<(), JournalError> {
        let handle = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || handle.stop()).await.unwrap_or(Err(JournalError::Closed))
    }
}

impl Handle {
    fn stop(&self) -> Result<(), JournalError> {
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        self.inner.signs.closed.store(true, Ordering::Relaxed);
        self.inner.settle_room.close();
        // The writing thread first: what it does may be of use to the syncing one, never the other way round.
        self.inner.writes.close();
        let written = threads.write.join().map_err(|_| JournalError::Closed);
        self.inner.syncs.close();
        let synced = threads.sync.join().unwrap_or(Err(JournalError::Closed));
        self.inner.ahead.close();
        let filled = threads.ahead.join().map_err(|_| JournalError::Closed);
        self.inner.progress.send_modify(|progress| progress.closed = true);
        written.and(filled).and(synced)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the journal did not close cleanly");
        }
    }
}

/// Ends the journal with its thread, however that came about: whoever asks afterwards is refused instead of left waiting.
struct Ended<'a>(&'a Inner);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.signs.closed.store(true, Ordering::Relaxed);
        self.0.writes.close();
        if std::thread::panicking() {
            self.0.syncs.close();
        }
    }
}

/// A hold whose caller has not heard yet that it is open. Dropped in that state it is struck: the backend was not reached.
struct Unheard<'a> {
    inner: &'a Inner,
    id: UsageEventId,
    armed: bool,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if self.armed {
            let _ = self.inner.push_write(WriteCommand::Forget { id: self.id, ack: None }, usize::MAX);
        }
    }
}

/// Brings the next events into memory. Where there turns out to be none, whatever was counted is done.
fn refill(inner: &Inner) -> Result<(), JournalError> {
    let asked = inner.ready.lock().wants_refill();
    if let Some(asked) = asked {
        let directory = inner.directory();
        let read = asked.read(&directory).map_err(JournalError::io("read back", &directory))?;
        inner.ready.lock().refilled(asked, read);
    }
    let ready = inner.ready.lock();
    if ready.unapplied == 0 {
        let settled = ready.settled;
        drop(ready);
        inner.progress.send_modify(|progress| progress.applied = progress.applied.max(settled));
    }
    Ok(())
}

/// Makes the directory and takes it, for this process alone.
fn own(options: &Options) -> Result<File, JournalError> {
    let directory = &options.directory;
    std::fs::create_dir_all(directory).map_err(JournalError::io("make", directory))?;
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // So that a power cut does not take a new directory with it. One may own a directory and not be allowed to open the
        // one above: then it was not made here either.
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
    let path = directory.join("lock");
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = opened.map_err(JournalError::io("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(JournalError::Owned(directory.clone())),
        Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &path)(error)),
    }
}
