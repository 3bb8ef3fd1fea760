//! Connections to a database, and how transactions on it begin and end. It must never hold a statement.

use std::ops::Deref;
use std::pin::Pin;

use ledger::StoreError;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{Acquire, Pool, Transaction};

use crate::dialect::Dialect;
use crate::error::from_driver;

/// A store over one database.
#[derive(Debug)]
pub(crate) struct SqlStore<D: Dialect> {
    pub(crate) readers: Pool<D>,
    pub(crate) writers: Pool<D>,
    /// What only this database has.
    pub(crate) own: D::Own,
}

impl<D: Dialect> SqlStore<D> {
    /// A connection that reads.
    pub(crate) async fn read(&self) -> Result<PoolConnection<D>, StoreError> {
        self.readers.acquire().await.map_err(from_driver)
    }

    /// A transaction whose statements all see the same moment.
    pub(crate) async fn snapshot(&self) -> Result<Transaction<'static, D>, StoreError> {
        self.readers.begin_with(D::BEGIN_SNAPSHOT).await.map_err(from_driver)
    }

    /// A transaction that adds events.
    pub(crate) async fn adding(&self) -> Result<Transaction<'static, D>, StoreError> {
        self.writers.begin_with(D::BEGIN_APPLY).await.map_err(from_driver)
    }

    /// A transaction about keys of calls.
    pub(crate) async fn keys(&self) -> Result<Transaction<'static, D>, StoreError> {
        self.writers.begin_with(D::BEGIN_KEYS).await.map_err(from_driver)
    }

    /// A transaction that changes the directory.
    pub(crate) async fn change(&self) -> Result<Transaction<'static, D>, StoreError> {
        self.writers.begin_with(D::BEGIN_CHANGE).await.map_err(from_driver)
    }

    /// A transaction that compares what is stored with the events.
    pub(crate) async fn reconciling(&self) -> Result<Transaction<'static, D>, StoreError> {
        self.readers.begin_with(D::BEGIN_RECONCILE).await.map_err(from_driver)
    }

    /// A transaction that writes anew what was wrong.
    pub(crate) async fn repairing(&self) -> Result<Transaction<'static, D>, StoreError> {
        self.writers.begin_with(D::BEGIN_REPAIR).await.map_err(from_driver)
    }

    /// Work that must be over within the dialect's deadline. What is cut short is rolled back by the database when the
    /// connection goes, or was committed without our hearing of it: whoever asks again finds out which.
    pub(crate) async fn within<T: Send>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let Some(deadline) = D::DEADLINE else { return work.await };
        tokio::time::timeout(deadline, work).await.unwrap_or_else(|late| Err(StoreError::Unavailable(Box::new(late))))
    }
}

/// Ends a transaction for good.
pub(crate) async fn commit<D: Dialect>(transaction: Transaction<'_, D>) -> Result<(), StoreError> {
    transaction.commit().await.map_err(from_driver)
}

/// Brings a schema up to date. The box says for which lifetime the future can be sent, which the compiler does not find
/// out by itself.
pub(crate) fn bring_up<'c, C>(
    migrator: &'c Migrator,
    connection: &'c mut C,
) -> Pin<Box<dyn Future<Output = Result<(), MigrateError>> + Send + 'c>>
where
    C: Send,
    &'c mut C: Acquire<'c> + Send,
    <&'c mut C as Acquire<'c>>::Connection: Send,
    <<&'c mut C as Acquire<'c>>::Connection as Deref>::Target: Migrate + Send,
{
    Box::pin(migrator.run(connection))
}
