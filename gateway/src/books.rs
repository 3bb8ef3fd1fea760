//! The books of this gateway: one an organisation and period, opened from the store's balance at first need.
//!
//! This gateway owns the database, so it is the only one that captures, and the journal is replayed before the first
//! call: a balance read when a book is opened lacks nothing, because every later capture goes through the book itself.
//! Once ownership is lost, somebody else may have spent: nothing is spent until it is back and the books are read anew.
//!
//! Where gateways share a database nobody owns it: their books spend [leases](crate::leases).

use std::collections::HashMap;
use std::sync::Arc;

use ledger::{
    Book, BookSnapshot, Changed, Credits, Grant, Hold, HoldRefused, LeaseKey, OrganizationId, Period, StoreError,
    UsageStore,
};
use parking_lot::RwLock;
use store::Ownership;
use tokio::sync::watch;

use crate::leases::{Leases, NoHold};

/// All open books.
pub(crate) struct Books {
    store: Arc<dyn UsageStore>,
    ownership: watch::Receiver<Ownership>,
    leases: Option<Arc<Leases>>,
    open: RwLock<Open>,
}

/// Why a call has no hold.
#[derive(Debug)]
pub(crate) enum NotHeld {
    /// There is no credit for it.
    Refused(HoldRefused),
    /// Nobody can say whether there is.
    Unknown(StoreError),
}

/// The books that are open, and the ownership under which they were read.
struct Open {
    under: Ownership,
    books: HashMap<(OrganizationId, Period), Arc<Book>>,
}

impl Books {
    pub(crate) fn new(store: Arc<dyn UsageStore>, ownership: watch::Receiver<Ownership>) -> Self {
        let under = *ownership.borrow();
        Self { store, ownership, leases: None, open: RwLock::new(Open { under, books: HashMap::new() }) }
    }

    /// Books that spend leases.
    pub(crate) fn leased(self, leases: Option<Arc<Leases>>) -> Self {
        Self { leases, ..self }
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

    /// Has leases of accounts whose limit may have changed looked at.
    pub(crate) fn limits_changed(&self, changed: &Changed) {
        let Some(leases) = &self.leases else { return };
        match changed {
            Changed::Organization(id) => leases.limits_changed(Some(id)),
            Changed::Plan(_) => leases.limits_changed(None),
            Changed::EventDefinition(_) | Changed::Pricing => {}
        }
    }

    /// The book of an organisation's period.
    async fn find(&self, id: &OrganizationId, period: Period) -> Result<Arc<Book>, StoreError> {
        let key = (id.clone(), period);
        let under = {
            let open = self.open.read();
            self.spends(&open)?;
            if let Some(book) = open.books.get(&key) {
                return Ok(Arc::clone(book));
            }
            open.under
        };
        let balance = self.store.balance(id, period).await?;
        // Whoever comes second takes the first one's book: there is never a second one to spend from. What was read
        // before ownership changed hands may be old.
        let mut open = self.open.write();
        self.spends(&open)?;
        if open.under != under {
            return Err(not_owned());
        }
        Ok(Arc::clone(open.books.entry(key).or_insert_with(|| Book::new(balance.used, balance.calls))))
    }

    /// Whether new holds may be opened.
    pub(crate) fn may_spend(&self) -> bool {
        self.leases.is_some() || self.spends(&self.open.read()).is_ok()
    }

    /// A book as it is now; `None` where it is not open.
    pub(crate) fn snapshot(&self, id: &OrganizationId, period: Period) -> Option<BookSnapshot> {
        let book = match &self.leases {
            Some(leases) => leases.book(id, period),
            None => self.open.read().books.get(&(id.clone(), period)).cloned(),
        };
        book.map(|book| book.snapshot())
    }

    /// What is used of an account and held on it. Where gateways share a database, used is what all of them charged, as the
    /// store has it, and held is what this one holds.
    pub(crate) async fn seen(&self, id: &OrganizationId, period: Period) -> Option<BookSnapshot> {
        let own = self.snapshot(id, period);
        if self.leases.is_none() {
            return own;
        }
        match self.store.balance(id, period).await {
            Ok(balance) => {
                Some(BookSnapshot { used: balance.used, calls_used: balance.calls, ..own.unwrap_or_default() })
            }
            Err(error) => {
                tracing::warn!(%error, "the counter shows this gateway's own book");
                own
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
        let finished = |period: Period, book: &Arc<Book>| period < last_open && is_idle(book);
        self.open.write().books.retain(|(_, period), book| !finished(*period, book));
        if let Some(leases) = &self.leases {
            leases.close_before(last_open);
        }
    }

    /// How many holds are open, over all books.
    pub(crate) fn holds_open(&self) -> u64 {
        let leased = self.leases.as_ref().map_or(0, |leases| leases.holds_open());
        self.open.read().books.values().map(|book| book.snapshot().calls_held).sum::<u64>().saturating_add(leased)
    }

    /// Whether nobody has a hold on any book, or is about to open one.
    pub(crate) fn are_idle(&self) -> bool {
        self.open.read().books.values().all(is_idle)
    }

    /// Closes all books, so that each is read anew under this ownership; whether they were idle and that could be done.
    /// Every charge of theirs must have reached the store.
    pub(crate) fn read_anew(&self, under: Ownership) -> bool {
        let mut open = self.open.write();
        let idle = open.books.values().all(is_idle);
        if idle {
            *open = Open { under, books: HashMap::new() };
        }
        idle
    }

    fn spends(&self, open: &Open) -> Result<(), StoreError> {
        let now = *self.ownership.borrow();
        if now != Ownership::Lost && now == open.under { Ok(()) } else { Err(not_owned()) }
    }
}

/// A hold keeps its book.
fn is_idle(book: &Arc<Book>) -> bool {
    Arc::strong_count(book) == 1
}

fn not_owned() -> StoreError {
    StoreError::Unavailable("this gateway does not own the database now".into())
}

#[cfg(test)]
mod tests {
    use ledger::{Credits, Grant, Timestamp};
    use store::{Occupancy, Options};

    use super::*;

    #[tokio::test]
    async fn nothing_is_spent_between_the_loss_of_the_database_and_the_reading_anew() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("usage.db").display());
        let store = store::open(Options { url, readers: 1, occupancy: Occupancy::Gateway }).await.unwrap();
        let (tell, ownership) = watch::channel(Ownership::Held(1));
        let books = Books::new(store, ownership);
        let (acme, period) = ("acme".parse().unwrap(), Period::of(Timestamp::from_millis(0)));
        let book = books.find(&acme, period).await.unwrap();
        let hold =
            book.open(Credits::from_micros(1), Grant { credits: ledger::Limit::Unlimited, calls: None }).unwrap();
        tell.send_replace(Ownership::Lost);
        assert!(!books.may_spend() && books.find(&acme, period).await.is_err());
        tell.send_replace(Ownership::Held(2));
        assert!(!books.may_spend(), "what is in the books may be old");
        assert!(!books.read_anew(Ownership::Held(2)), "a call is on its way");
        drop((hold, book));
        assert!(books.read_anew(Ownership::Held(2)));
        assert!(books.may_spend() && books.snapshot(&acme, period).is_none());
        // One that was lost again meanwhile does not count.
        tell.send_replace(Ownership::Held(3));
        assert!(books.find(&acme, period).await.is_err());
    }
}
