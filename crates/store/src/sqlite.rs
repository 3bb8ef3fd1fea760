//! The embedded database: one file, one writing connection, a few reading ones, and a lock that says who owns it.

mod directory;
mod usage;

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::error::{OpenError, from_driver};

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Page caches in KiB, as SQLite counts them (negative: KiB).
const WRITER_CACHE: &str = "-4096";
const READER_CACHE: &str = "-1024";

/// Where the database is and who opens it.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:FILE`, relative to the working directory, or absolute.
    pub url: String,
    /// Reading connections.
    pub readers: u32,
    /// Who opens it.
    pub occupancy: Occupancy,
}

/// Who opens a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupancy {
    /// A gateway: it owns the file; a second one is refused.
    Gateway,
    /// The admin API beside a gateway.
    Companion,
    /// Somebody who only looks: nothing is made or changed.
    Visitor,
}

/// The store over SQLite.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Held for life; the system lets go of it however the process ends.
    _ownership: Option<File>,
}

impl SqliteStore {
    /// Opens the database; a gateway or companion brings its schema up to date.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
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
        let writer = pool(1).connect_with(writer).await?;
        if writes {
            sqlx::migrate!("../../migrations/sqlite").run(&writer).await?;
        }
        let readers = connect.pragma("cache_size", READER_CACHE).read_only(true);
        let readers = pool(options.readers.max(1)).connect_with(readers).await?;
        Ok(Self { writer, readers, _ownership: ownership })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A connection that reads.
    async fn read(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.readers.acquire().await.map_err(from_driver)
    }

    /// A transaction that writes. It takes the write lock at once: a later upgrade could fail half-way.
    async fn write(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(from_driver)
    }
}

async fn commit(transaction: Transaction<'_, Sqlite>) -> Result<(), StoreError> {
    transaction.commit().await.map_err(from_driver)
}

fn path_of(url: &str) -> Result<PathBuf, OpenError> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() && !path.starts_with(':') && !path.contains('?') => Ok(path.into()),
        _ => Err(OpenError::Address(url.to_owned())),
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
