//! A journal in a directory of its own, on a disk that can be filled, broken and stopped.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use ledger::{ChargeItem, Credits, Outcome, PluginIdentity, Signals, Timestamp, UsageEvent, UsageEventId};
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use crate::disk::{Disk, SegmentFile, SystemDisk};
use crate::segment::widen;
use crate::{Health, Journal, JournalError, Observer, Options, Recovery};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// A journal, what it runs on and what it reported.
pub(super) struct World {
    pub(super) directory: TempDir,
    pub(super) disk: Arc<TestDisk>,
    pub(super) seen: Arc<Seen>,
    pub(super) journal: Journal,
    pub(super) recovery: Recovery,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(adjust: impl FnOnce(&mut Options)) -> Self {
        Self::try_in(TempDir::new().unwrap(), adjust).unwrap()
    }

    pub(super) fn try_in(directory: TempDir, adjust: impl FnOnce(&mut Options)) -> Result<Self, JournalError> {
        let mut options = Options::new(directory.path());
        options.disk_free_bytes_min = 1_000;
        options.disk_look_every = Duration::ZERO;
        adjust(&mut options);
        let (disk, seen) = (Arc::new(TestDisk::default()), Arc::new(Seen::default()));
        let on: Arc<dyn Disk> = disk.clone();
        let observer: Arc<dyn Observer> = seen.clone();
        let (journal, recovery) = Journal::open_on(on, options, observer, NOW)?;
        Ok(Self { directory, disk, seen, journal, recovery })
    }

    /// What a process that died this moment would leave, opened again.
    pub(super) fn killed(&self) -> Self {
        Self::try_in(self.image(), |_| {}).unwrap()
    }

    /// A copy of the directory as it is at one moment: taken again where a segment went meanwhile.
    pub(super) fn image(&self) -> TempDir {
        loop {
            let copy = TempDir::new().unwrap();
            let before = segments(self.directory.path());
            let copied =
                before.iter().all(|path| std::fs::copy(path, copy.path().join(path.file_name().unwrap())).is_ok());
            if copied && before == segments(self.directory.path()) {
                return copy;
            }
        }
    }

    /// Everything that waits to be applied, without applying it.
    pub(super) async fn waiting(&self) -> Vec<UsageEvent> {
        if self.journal.stats().unapplied == 0 {
            return Vec::new();
        }
        self.journal.unapplied(usize::MAX).await.unwrap().events
    }

    pub(super) async fn apply_all(&self) -> usize {
        let mut applied = 0;
        while self.journal.stats().unapplied > 0 {
            let batch = self.journal.unapplied(100).await.unwrap();
            self.journal.persisted(self.journal.taken(&batch)).await.unwrap();
            applied += batch.events.len();
        }
        applied
    }

    pub(super) async fn call(&self, event: &UsageEvent) {
        self.journal.open_hold(&interrupted(event)).await.unwrap();
        self.journal.settle(event).await.unwrap();
    }

    pub(super) async fn until(&self, what: &str, there: impl Fn(&Journal) -> bool) {
        let waiting = async {
            while !there(&self.journal) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(came.is_ok(), "not within 20 s: {what}: {:?}, {:?}", self.journal.health(), self.journal.stats());
    }

    pub(super) async fn until_accepting(&self) {
        self.until("new holds are taken", |journal| journal.health() == Health::Accepting).await;
    }
}

/// The segment files, oldest first.
pub(super) fn segments(directory: &Path) -> Vec<PathBuf> {
    let sequences = crate::segment::list(directory).unwrap();
    sequences.into_iter().map(|sequence| directory.join(crate::segment::file_name(sequence))).collect()
}

/// A captured event.
pub(super) fn event(n: i64) -> UsageEvent {
    let credits = Credits::from_whole(n).unwrap();
    UsageEvent {
        id: UsageEventId::new(NOW.plus_millis(n)),
        organization_id: "org-1".parse().unwrap(),
        user_id: "user-1".parse().unwrap(),
        event_type: "structuring_diagnose".parse().unwrap(),
        event_name: "Problem diagnosis".to_owned(),
        category: "ai_analysis".to_owned(),
        definition_version: 1,
        occurred_at: NOW.plus_millis(n),
        settled_at: NOW.plus_millis(n + 5),
        outcome: Outcome::Captured,
        credits,
        held: credits,
        items: vec![ChargeItem { label: "base".to_owned(), credits }],
        plugin: Arc::new(PluginIdentity { name: "standard".into(), version: "1.0.0".into(), sha256: "ab".repeat(32) }),
        signals: Signals::default(),
        session_id: None,
        request_id: format!("request-{n}").parse().unwrap(),
        endpoint: "/api/organizations/{orgId}/structuring/analyze-pain-points".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

/// The same event as its hold has it.
pub(super) fn interrupted(event: &UsageEvent) -> UsageEvent {
    let mut event = event.clone();
    event.outcome = Outcome::Interrupted;
    event.credits = Credits::ZERO;
    event.settled_at = event.occurred_at;
    event.upstream_status = None;
    event
}

pub(super) fn ids(events: &[UsageEvent]) -> Vec<UsageEventId> {
    events.iter().map(|event| event.id).collect()
}

/// What the journal told its observer.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) groups: Mutex<Vec<usize>>,
    pub(super) failures: AtomicU32,
}

impl Observer for Seen {
    fn synced(&self, records: usize, _took: Duration) {
        self.groups.lock().push(records);
    }

    fn failed(&self) {
        self.failures.fetch_add(1, Ordering::SeqCst);
    }
}

/// The real disk, with faults.
pub(super) struct TestDisk(Arc<Faults>);

#[derive(Default)]
pub(super) struct Faults {
    /// Bytes that can still be written; `None` is as many as one likes.
    room: Mutex<Option<u64>>,
    /// Syncs that will fail, each losing what it should have saved.
    failing_syncs: AtomicU32,
    /// Whether syncs wait, and how many do.
    syncs: Gate,
    /// The same for writes.
    writes: Gate,
    free: AtomicU64,
}

/// Where a thread of the journal can be stopped.
#[derive(Default)]
struct Gate {
    shut: Mutex<(bool, usize)>,
    moved: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        self.shut.lock().0 = shut;
        self.moved.notify_all();
    }

    fn pass(&self) {
        let mut shut = self.shut.lock();
        shut.1 += 1;
        self.moved.wait_while(&mut shut, |shut| shut.0);
        shut.1 -= 1;
    }
}

impl Default for TestDisk {
    fn default() -> Self {
        let faults = Faults::default();
        faults.free.store(u64::MAX, Ordering::SeqCst);
        Self(Arc::new(faults))
    }
}

impl TestDisk {
    pub(super) fn leave_room(&self, bytes: Option<u64>) {
        *self.0.room.lock() = bytes;
    }

    pub(super) fn fail_syncs(&self, count: u32) {
        self.0.failing_syncs.store(count, Ordering::SeqCst);
    }

    pub(super) fn set_free(&self, bytes: u64) {
        self.0.free.store(bytes, Ordering::SeqCst);
    }

    pub(super) fn stop_syncs(&self) {
        self.0.syncs.set(true);
    }

    pub(super) fn resume_syncs(&self) {
        self.0.syncs.set(false);
    }

    pub(super) fn syncs_waiting(&self) -> usize {
        self.0.syncs.shut.lock().1
    }

    pub(super) fn writes_waiting(&self) -> usize {
        self.0.writes.shut.lock().1
    }

    pub(super) fn stop_writes(&self) {
        self.0.writes.set(true);
    }

    pub(super) fn resume_writes(&self) {
        self.0.writes.set(false);
    }
}

impl Disk for TestDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        self.0.take_room(1)?;
        SystemDisk.create(path)?;
        // Kept open, so that a file that was removed meanwhile can still be synced.
        let file = File::options().append(true).open(path)?;
        Ok(Arc::new(TestFile { file, synced: AtomicU64::new(0), faults: Arc::clone(&self.0) }))
    }

    /// Its files grow, so that what a disk does with their ends can be played.
    fn fill(&self, _path: &Path, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn adopt(&self, _filled: &Path, _path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        SystemDisk.open(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync_directory(path)
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(self.0.free.load(Ordering::SeqCst))
    }
}

impl Faults {
    fn take_room(&self, bytes: u64) -> io::Result<()> {
        let mut room = self.room.lock();
        match &mut *room {
            None => Ok(()),
            Some(left) if *left >= bytes => {
                *left -= bytes;
                Ok(())
            }
            Some(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

struct TestFile {
    file: File,
    synced: AtomicU64,
    faults: Arc<Faults>,
}

impl SegmentFile for TestFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.faults.writes.pass();
        let wanted = widen(bytes.len());
        self.faults.take_room(wanted).inspect_err(|_| {
            // As a real disk does, write what fits.
            let left = self.faults.room.lock().replace(0).unwrap_or(0);
            self.file.append(&bytes[..usize::try_from(left).unwrap()]).unwrap();
        })?;
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.syncs.pass();
        let bytes = self.file.metadata()?.len();
        let fails =
            self.faults.failing_syncs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            // The pages that were to be saved are gone, and nobody will ever say so again.
            let synced = self.synced.load(Ordering::SeqCst);
            self.file.set_len(synced)?;
            self.file.set_len(bytes)?;
            return Err(io::Error::other("input/output error"));
        }
        self.synced.store(bytes, Ordering::SeqCst);
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.cut(bytes)
    }
}
