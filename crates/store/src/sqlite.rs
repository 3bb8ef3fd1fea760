//! The embedded database: one file, one writing connection, a few reading ones, and a lock that says who owns it.

#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ledger::{LeaseStore, Period, StoreError, Timestamp, UsageEvent};
use serde::{Serialize, Serializer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqliteConnection};
use tokio::sync::watch;

use crate::dialect::{Asked, Batch, Column, Dialect};
use crate::error::{OpenError, damaged};
use crate::open::{Maintained, Occupancy, Options, Ownership, Store};
use crate::sql_store::{SqlStore, bring_up};

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Page caches in KiB, as SQLite counts them (negative: KiB).
const WRITER_CACHE: &str = "-4096";
const READER_CACHE: &str = "-1024";

/// The store over SQLite.
pub(crate) type SqliteStore = SqlStore<Sqlite>;

impl Dialect for Sqlite {
    /// Held for life; the system lets go of it however the process ends.
    type Own = Option<File>;

    const BEGIN_SNAPSHOT: &'static str = "BEGIN";
    // It takes the write lock at once: a later upgrade could fail half-way.
    const BEGIN_APPLY: &'static str = "BEGIN IMMEDIATE";
    const BEGIN_CHANGE: &'static str = "BEGIN IMMEDIATE";
    const BEGIN_KEYS: &'static str = "PRAGMA synchronous = FULL; BEGIN IMMEDIATE";
    const BEGIN_RECONCILE: &'static str = "BEGIN";
    const BEGIN_REPAIR: &'static str = "BEGIN IMMEDIATE";
    const DEADLINE: Option<Duration> = None;

    /// One parameter, a JSON array of rows.
    fn rows(batch: &Batch<'_>) -> String {
        let columns: Vec<_> = (0..batch.columns().len()).map(|column| format!("value ->> {column}")).collect();
        // Without the condition the parser would take ON CONFLICT for a part of a join.
        format!("SELECT {} FROM json_each($1) WHERE true", columns.join(", "))
    }

    fn bind_rows<'q>(query: Asked<'q, Self>, batch: &Batch<'_>) -> Result<Asked<'q, Self>, StoreError> {
        let rows: Vec<_> = (0..batch.len()).map(|row| Row { batch, row }).collect();
        Ok(query.bind(serde_json::to_string(&rows).map_err(|error| damaged("batch", error))?))
    }

    fn list(marker: &str) -> String {
        format!("SELECT value FROM json_each({marker})")
    }

    async fn make_room(_: &SqlStore<Self>, _: &[UsageEvent]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn keeps_events(_: &mut SqliteConnection, _: Period) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn try_again(_: &SqlStore<Self>, _: &StoreError) -> bool {
        // The only writer waits for its turn; what fails then fails again.
        false
    }
}

/// One row of a batch, written as a JSON array.
struct Row<'b> {
    batch: &'b Batch<'b>,
    row: usize,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.batch.columns().iter().map(|column| match column {
            Column::Text(texts) => Value::Text(texts.get(self.row).and_then(Option::as_deref)),
            Column::Integer(integers) => Value::Integer(integers.get(self.row).copied()),
        }))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'v> {
    Text(Option<&'v str>),
    Integer(Option<i64>),
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
            // Applied events are trimmed from the journal: they must be as durable here as they were there.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
        let writer = connect.clone().pragma("cache_size", WRITER_CACHE).read_only(!writes);
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

    /// The lock file is ours for life.
    fn ownership(&self) -> watch::Receiver<Ownership> {
        if self.own.is_some() { watch::channel(Ownership::Held(1)).1 } else { Ownership::never() }
    }

    /// One gateway owns the file: it has nobody to share with.
    fn leases(self: Arc<Self>) -> Option<Arc<dyn LeaseStore>> {
        None
    }

    /// One file keeps everything, and has no parts to make or drop.
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
