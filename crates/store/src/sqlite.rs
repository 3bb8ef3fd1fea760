//! The embedded database: one file, one writing connection, a few reading ones, and a lock that says who owns it.

#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ledger::{InstanceId, LeaseStore, Period, StoreError, Timestamp, UsageEvent};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteQueryResult, SqliteSynchronous};
use sqlx::{Row as _, Sqlite, SqliteConnection};

use crate::batch::{Rows, Values};
use crate::dialect::{Asked, Dialect};
use crate::error::{OpenError, from_driver};
use crate::open::{Maintained, Occupancy, Options, Store};
use crate::sql_store::{SqlStore, bring_up};

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Waits for the write-ahead log's readers and takes all of it over. It answers whether it was kept from that, and how many
/// pages were in the log and were taken. <https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>
const PERSIST: &str = "PRAGMA wal_checkpoint(FULL)";
/// Pages of the write-ahead log, 4 KiB each, past which a commit takes them over unasked: 32 MiB. A page that changes often
/// is then written to its place seldom.
const LOG_PAGES_MAX: &str = "8000";
/// Page caches in KiB, as SQLite counts them (negative: KiB).
const WRITER_CACHE: &str = "-4096";
const READER_CACHE: &str = "-1024";

/// The store over SQLite.
pub(crate) type SqliteStore = SqlStore<Sqlite>;

impl Dialect for Sqlite {
    /// Held for life; the system lets go of it however the process ends.
    type Own = Option<File>;

    const BEGIN_SNAPSHOT: &'static str = "BEGIN";
    // These take the write lock at once: a later upgrade could fail half-way. Events are still in the journal until they
    // are persisted, so that their transactions need no sync of their own; one for many disturbs the journal's less.
    const BEGIN_APPLY: &'static str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";
    const BEGIN_CHANGE: &'static str = "PRAGMA synchronous = FULL; BEGIN IMMEDIATE";
    const BEGIN_KEYS: &'static str = Self::BEGIN_CHANGE;
    const BEGIN_RECONCILE: &'static str = "BEGIN";
    const BEGIN_REPAIR: &'static str = Self::BEGIN_CHANGE;
    const DEADLINE: Option<Duration> = None;

    const BY_EVENT_ID: &'static str = "event_id";
    // One value a parameter: half the work of one JSON text that is taken apart again.
    const ROWS_AT_ONCE_MAX: usize = 64;

    fn rows(rows: &Rows<'_>) -> String {
        let row = format!("({})", vec!["?"; rows.columns().count()].join(", "));
        format!("VALUES {}", vec![row; rows.len()].join(", "))
    }

    fn bind_rows<'q>(query: Asked<'q, Self>, rows: &Rows<'_>) -> Asked<'q, Self> {
        let columns: Vec<_> = rows.columns().collect();
        let values = (0..rows.len()).flat_map(|row| columns.iter().map(move |column| (row, *column)));
        values.fold(query, |query, (row, column)| match column {
            Values::Texts(texts) => query.bind(texts.get(row).and_then(Option::as_deref)),
            Values::Integers(integers) => query.bind(integers.get(row).copied()),
        })
    }

    fn list(marker: &str) -> String {
        format!("SELECT value FROM json_each({marker})")
    }

    async fn make_room(_: &SqlStore<Self>, _: &[UsageEvent]) -> Result<(), StoreError> {
        Ok(())
    }

    /// One gateway owns the database: nobody leases.
    async fn charge(_: &mut SqliteConnection, _: &[&UsageEvent], _: Option<InstanceId>) -> Result<(), StoreError> {
        Ok(())
    }

    fn changed(result: &SqliteQueryResult) -> u64 {
        result.rows_affected()
    }

    /// A checkpoint syncs what it takes from the write-ahead log, and what it makes of it. It counts where it was whole.
    async fn persist(store: &SqlStore<Self>) -> Result<(), StoreError> {
        let mut connection = store.writers.acquire().await.map_err(from_driver)?;
        let row = sqlx::query(PERSIST).fetch_one(&mut *connection).await.map_err(from_driver)?;
        let number = |column| row.try_get::<i64, usize>(column).map_err(from_driver);
        let (busy, written, taken) = (number(0)?, number(1)?, number(2)?);
        if busy == 0 && written == taken {
            Ok(())
        } else {
            Err(StoreError::Unavailable("the database is being read".into()))
        }
    }

    async fn keeps_events(_: &mut SqliteConnection, _: Period) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn try_again(_: &SqlStore<Self>, _: &StoreError) -> bool {
        // The only writer waits for its turn; what fails then fails again.
        false
    }
}

impl SqlStore<Sqlite> {
    /// Opens the database; a gateway or companion brings its schema up to date.
    pub(crate) async fn open(options: Options) -> Result<Self, OpenError> {
        let path = path_of(&options.url)?;
        let writes = options.occupancy != Occupancy::Visitor;
        if writes {
            make_folder(&path)?;
        } else if !path.exists() {
            return Err(OpenError::Missing(path.display().to_string()));
        }
        let path = one_name(path)?;
        let ownership = (options.occupancy == Occupancy::Gateway).then(|| own(&path)).transpose()?;
        let connect = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(writes)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
        let writer = connect.clone().pragma("cache_size", WRITER_CACHE).pragma("wal_autocheckpoint", LOG_PAGES_MAX);
        // What a statement of many rows would need to be undone by itself stays in memory: it is the transaction that ends.
        let writer = writer.pragma("temp_store", "MEMORY").read_only(!writes);
        let writers = pool(1).connect_with(writer).await?;
        if writes {
            let mut connection = writers.acquire().await?;
            bring_up(&sqlx::migrate!("../../migrations/sqlite"), &mut connection).await?;
        }
        let readers = connect.pragma("cache_size", READER_CACHE).read_only(true);
        let readers = pool(options.readers.max(1)).connect_with(readers).await?;
        Ok(Self { readers, writers, own: ownership })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    /// One gateway owns the file: it has nobody to share with.
    fn leases(self: Arc<Self>) -> Option<Arc<dyn LeaseStore>> {
        None
    }

    /// One file keeps everything, and has no parts to make or drop.
    async fn upkeep(&self, _: Timestamp, _: Option<u32>) -> Result<Maintained, StoreError> {
        Ok(Maintained::default())
    }

    async fn maintain(&self, _: Timestamp, _: Option<u32>) -> Result<Maintained, StoreError> {
        Ok(Maintained::default())
    }
}

fn path_of(url: &str) -> Result<PathBuf, OpenError> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() && !path.starts_with(':') && !path.contains('?') => Ok(path.into()),
        _ => Err(OpenError::Address),
    }
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|source| OpenError::File { path: folder.display().to_string(), source })
}

/// The database's one true path: links are followed, so that whoever comes by another name meets the same lock. A file
/// with a second name of its own (a hard link) would have a second lock: it is refused.
fn one_name(path: PathBuf) -> Result<PathBuf, OpenError> {
    let failed = |source| OpenError::File { path: path.display().to_string(), source };
    // Made only where it is missing: to open and close a database that this process has open would drop its locks.
    match File::options().write(true).create_new(true).open(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed(source)),
    }
    let path = path.canonicalize().map_err(failed)?;
    let names = std::fs::metadata(&path).map_err(failed)?.nlink();
    if names > 1 { Err(OpenError::SeveralNames(path.display().to_string())) } else { Ok(path) }
}

/// Takes the lock file beside the database.
fn own(path: &Path) -> Result<File, OpenError> {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    let failed = |source| OpenError::File { path: lock.display().to_string(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&lock).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Owned(path.display().to_string())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
