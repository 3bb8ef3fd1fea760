//! The books of this gateway: one an organisation and period, opened from the store's balance at first need.
//!
//! On SQLite this gateway is the only one that captures, and the journal is replayed before the first call, so a balance
//! read when a book is opened lacks nothing: every later capture goes through the book itself.

use std::collections::HashMap;
use std::sync::Arc;

use ledger::{Book, BookSnapshot, OrganizationId, Period, StoreError, UsageStore};
use parking_lot::RwLock;

/// All open books.
pub(crate) struct Books {
    store: Arc<dyn UsageStore>,
    open: RwLock<HashMap<(OrganizationId, Period), Arc<Book>>>,
}

impl Books {
    pub(crate) fn new(store: Arc<dyn UsageStore>) -> Self {
        Self { store, open: RwLock::default() }
    }

    /// The book of an organisation's period.
    pub(crate) async fn find(&self, id: &OrganizationId, period: Period) -> Result<Arc<Book>, StoreError> {
        let key = (id.clone(), period);
        if let Some(book) = self.open.read().get(&key) {
            return Ok(Arc::clone(book));
        }
        let balance = self.store.balance(id, period).await?;
        // Whoever comes second takes the first one's book: there is never a second one to spend from.
        let mut open = self.open.write();
        Ok(Arc::clone(open.entry(key).or_insert_with(|| Book::new(balance.used, balance.calls))))
    }

    /// A book as it is now; `None` where it is not open.
    pub(crate) fn snapshot(&self, id: &OrganizationId, period: Period) -> Option<BookSnapshot> {
        self.open.read().get(&(id.clone(), period)).map(|book| book.snapshot())
    }

    /// Closes the books of periods long over, once no hold is left on them: two periods back, so that a call which began
    /// in the last instant of a month has a month to end.
    pub(crate) fn close_before(&self, now: Period) {
        let last_open = now.previous();
        let finished = |period: Period, book: &Arc<Book>| period < last_open && Arc::strong_count(book) == 1;
        self.open.write().retain(|(_, period), book| !finished(*period, book));
    }

    /// How many holds are open, over all books.
    pub(crate) fn holds_open(&self) -> u64 {
        self.open.read().values().map(|book| book.snapshot().calls_held).sum()
    }
}
