//! The books of this gateway: one an organisation and period.
//!
//! On SQLite this gateway owns the database, so it is the only one that captures, and the journal is replayed before the
//! first call: a balance read when a book is opened lacks nothing, because every later capture goes through the book
//! itself. Where gateways share a database nobody owns it: their books spend [leases](crate::leases).

use std::collections::HashMap;
use std::sync::Arc;

use ledger::{
    Book, BookSnapshot, Changed, Credits, Grant, Hold, HoldRefused, LeaseKey, Limit, OrganizationId, Period,
    StoreError, UsageStore,
};
use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::leases::{Leases, NoHold};

/// All open books.
pub(crate) struct Books {
    store: Arc<dyn UsageStore>,
    leases: Option<Arc<Leases>>,
    open: RwLock<HashMap<(OrganizationId, Period), Arc<Book>>>,
    /// Held while what adjustments make is read, so that of two readings the later one is what stays.
    adjusting: Mutex<()>,
}

/// Why a call has no hold.
#[derive(Debug)]
pub(crate) enum NotHeld {
    /// There is no credit for it.
    Refused(HoldRefused),
    /// Nobody can say whether there is.
    Unknown(StoreError),
}

impl Books {
    /// Books that spend leases where there are any, and else all that the limit leaves.
    pub(crate) fn new(store: Arc<dyn UsageStore>, leases: Option<Arc<Leases>>) -> Self {
        Self { store, leases, open: RwLock::default(), adjusting: Mutex::default() }
    }

    /// Holds `amount` for a call of an organisation.
    pub(crate) async fn open(
        &self,
        id: &OrganizationId,
        period: Period,
        amount: Credits,
        grant: Grant,
    ) -> Result<Hold, NotHeld> {
        let Some(leases) = &self.leases else {
            return self
                .find(id, period)
                .await
                .map_err(NotHeld::Unknown)?
                .open(amount, grant)
                .map_err(NotHeld::Refused);
        };
        let key = LeaseKey { organization_id: id.clone(), period };
        leases.open(key, amount, grant).await.map_err(|no_hold| match no_hold {
            NoHold::Refused(refused) => NotHeld::Refused(refused),
            NoHold::NotAnswered => NotHeld::Unknown(StoreError::Unavailable("no answer for a lease".into())),
        })
    }

    /// Whether a hold may still be charged, in the account in which it was opened.
    pub(crate) async fn secure(&self, id: &OrganizationId, period: Period, hold: &mut Hold) -> bool {
        match &self.leases {
            Some(leases) => leases.secure(LeaseKey { organization_id: id.clone(), period }, hold).await,
            None => true,
        }
    }

    /// Has what a change may have changed looked at: limits where there are leases, adjustments where there are none.
    pub(crate) async fn changed(&self, changed: &Changed) -> Result<(), StoreError> {
        match (&self.leases, changed) {
            (Some(leases), Changed::Organization(id)) => leases.limits_changed(Some(id)),
            (Some(leases), Changed::Plan(_)) => leases.limits_changed(None),
            (None, Changed::Organization(id)) => self.read_adjusted(id).await?,
            (None, Changed::Plan(_)) | (_, Changed::EventDefinition(_)) => {}
        }
        Ok(())
    }

    async fn read_adjusted(&self, id: &OrganizationId) -> Result<(), StoreError> {
        let _one_at_a_time = self.adjusting.lock().await;
        let of_it = |((whose, period), book): (&(OrganizationId, Period), &Arc<Book>)| {
            (whose == id).then(|| (*period, Arc::clone(book)))
        };
        let books: Vec<_> = self.open.read().iter().filter_map(of_it).collect();
        for (period, book) in books {
            book.adjusted(self.store.balance(id, period).await?.adjusted);
        }
        Ok(())
    }

    /// Sets aside what an operator takes, until that is in the store and in the book; `None` where the store itself keeps
    /// what is leased apart.
    pub(crate) async fn set_aside(
        &self,
        id: &OrganizationId,
        period: Period,
        amount: Credits,
        limit: Limit,
    ) -> Result<Option<Hold>, NotHeld> {
        match self.leases {
            Some(_) => Ok(None),
            None => self.open(id, period, amount, Grant { credits: limit, calls: None }).await.map(Some),
        }
    }

    /// Has the other gateways hear that a hold of an account was charged.
    pub(crate) fn charged(&self, id: &OrganizationId, period: Period) {
        if let Some(leases) = &self.leases {
            leases.charged(id, period);
        }
    }

    /// The book of an organisation's period.
    async fn find(&self, id: &OrganizationId, period: Period) -> Result<Arc<Book>, StoreError> {
        let key = (id.clone(), period);
        if let Some(book) = self.open.read().get(&key) {
            return Ok(Arc::clone(book));
        }
        let balance = self.store.balance(id, period).await?;
        // Whoever comes second takes the first one's book: there is never a second one to spend from.
        let mut open = self.open.write();
        Ok(Arc::clone(open.entry(key).or_insert_with(|| Book::of(balance))))
    }

    /// A book as it is now; `None` where it is not open.
    pub(crate) fn snapshot(&self, id: &OrganizationId, period: Period) -> Option<BookSnapshot> {
        let book = match &self.leases {
            Some(leases) => leases.book(id, period),
            None => self.open.read().get(&(id.clone(), period)).cloned(),
        };
        book.map(|book| book.snapshot())
    }

    /// What is used of an account and held on it. Where gateways share a database, used is what all of them charged, as
    /// far as they told, and held is what this one holds.
    pub(crate) async fn seen(&self, id: &OrganizationId, period: Period) -> Option<BookSnapshot> {
        let Some(leases) = &self.leases else { return self.snapshot(id, period) };
        match leases.seen(LeaseKey { organization_id: id.clone(), period }).await {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                tracing::warn!(%error, "the counter shows what this gateway last heard");
                self.snapshot(id, period)
            }
        }
    }

    /// Whether the books spend leases.
    pub(crate) fn are_leased(&self) -> bool {
        self.leases.is_some()
    }

    /// Closes the books of periods long over, once no hold is left on them: two periods back, so that a call which
    /// began in the last instant of a month has a month to end.
    pub(crate) fn close_before(&self, now: Period) {
        let last_open = now.previous();
        // A hold keeps its book.
        let finished = |period: Period, book: &Arc<Book>| period < last_open && Arc::strong_count(book) == 1;
        self.open.write().retain(|(_, period), book| !finished(*period, book));
        if let Some(leases) = &self.leases {
            leases.close_before(last_open);
        }
    }

    /// How many holds are open, over all books.
    pub(crate) fn holds_open(&self) -> u64 {
        let leased = self.leases.as_ref().map_or(0, |leases| leases.holds_open());
        self.open.read().values().map(|book| book.snapshot().calls_held).sum::<u64>().saturating_add(leased)
    }
}
