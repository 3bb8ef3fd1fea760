//! One account of this gateway's, and what waits for the store's answers for it. It must never decide on a call.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ledger::{Book, LeaseKey, UserId};
use tokio::sync::{Mutex, Notify};

/// One account that this gateway spends from: an organisation's, or that of a member who has a limit, in the same book.
pub(super) struct Account {
    pub(super) key: LeaseKey,
    pub(super) book: Arc<Book>,
    pub(super) answered: Notify,
    /// How many requests the store did not answer.
    pub(super) failures: AtomicU64,
    /// How often a member's lease was begun, by one call at a time.
    pub(super) beginnings: Mutex<i64>,
}

impl Account {
    pub(super) fn new(key: LeaseKey, book: Arc<Book>) -> Arc<Self> {
        let (answered, failures, beginnings) = (Notify::new(), AtomicU64::new(0), Mutex::default());
        Arc::new(Self { key, book, answered, failures, beginnings })
    }

    /// Whose account of its book it is.
    pub(super) fn of(&self) -> Option<&UserId> {
        self.key.user_id.as_ref()
    }
}
