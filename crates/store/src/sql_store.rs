//! Connections to a database, and how transactions on it begin and end. It must never hold a statement.

use ledger::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::{Pool, Transaction};

use crate::dialect::Dialect;
use crate::error::from_driver;

/// A store over one database.
#[derive(Debug)]
pub(crate) struct SqlStore<D: Dialect> {
    pub(crate) readers: Pool<D>,
    pub(crate) writers: Pool<D>,
    /// What only this database has.
    #[expect(dead_code, reason = "held for life, not read")]
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

    /// A transaction that changes the directory.
    pub(crate) async fn change(&self) -> Result<Transaction<'static, D>, StoreError> {
        self.writers.begin_with(D::BEGIN_CHANGE).await.map_err(from_driver)
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
