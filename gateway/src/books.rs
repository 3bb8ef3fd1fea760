//! The books of this gateway: one an organisation and period.
//!
//! On SQLite this gateway owns the database, so it is the only one that captures, and the journal is replayed before the
//! first call: a balance read when a book is opened lacks nothing, because every later capture goes through the book
//! itself. Where gateways share a database nobody owns it: their books spend [leases](crate::leases).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use journal::Journal;
use ledger::{
    Book, BookSnapshot, Changed, Credits, Grant, Hold, HoldRefused, LeaseKey, Limit, NotOpened, OrganizationId, Period,
    Spender, StoreError, Uptime, UsageStore, UserId,
};
use parking_lot::RwLock;
use tokio::sync::{Mutex, Notify};

use crate::leases::{Leases, NoHold};

/// How long a call waits until what its user spent before is in the store.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1);

/// All open books.
pub(crate) struct Books {
    store: Arc<dyn UsageStore>,
    leases: Option<Arc<Leases>>,
    journal: Option<(Journal, Arc<Notify>)>,
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
        Self { store, leases, journal: None, open: RwLock::default(), adjusting: Mutex::default() }
    }

    /// Books behind a journal, which can be asked to hurry.
    pub(crate) fn behind(self, journal: Journal, hurry: Arc<Notify>) -> Self {
        Self { journal: Some((journal, hurry)), ..self }
    }

    /// Holds `amount` for a call of an organisation, in the account of whoever calls too.
    pub(crate) async fn open(
        &self,
        id: &OrganizationId,
        period: Period,
        by: Option<&Spender>,
        amount: Credits,
        grant: Grant,
    ) -> Result<Hold, NotHeld> {
        let Some(leases) = &self.leases else {
            let book = self.find(id, period).await.map_err(NotHeld::Unknown)?;
            if let Some(by) = by.filter(|by| by.limit != Limit::Unlimited) {
                self.tell(&book, id, period, &by.user_id).await.map_err(NotHeld::Unknown)?;
            }
            return book.open_by(by, amount, grant, Uptime::ZERO, None).map_err(|not_opened| match not_opened {
                NotOpened::Refused(refused) => NotHeld::Refused(refused),
                NotOpened::NeedsCredit(_) | NotOpened::NotBegun => {
                    NotHeld::Unknown(StoreError::Unavailable("no lease is kept".into()))
                }
            });
        };
        let key = LeaseKey::of(id.clone(), period);
        let mut opened = leases.open(key.clone(), by, amount, grant).await;
        if let (Err(NoHold::NotBegun), Some(by)) = (&opened, by) {
            let begun = leases.begin(&key, &by.user_id, || self.caught_up()).await;
            begun.map_err(NotHeld::Unknown)?;
            opened = leases.open(key, Some(by), amount, grant).await;
        }
        opened.map_err(|no_hold| match no_hold {
            NoHold::Refused(refused) => NotHeld::Refused(refused),
            NoHold::NotAnswered | NoHold::NotBegun => {
                NotHeld::Unknown(StoreError::Unavailable("no answer for a lease".into()))
            }
        })
    }

    /// Tells a book that is not leased what a user with a limit spent besides what the book captured, where it does not know.
    async fn tell(&self, book: &Book, id: &OrganizationId, period: Period, user: &UserId) -> Result<(), StoreError> {
        let seen = book.spending(user);
        if seen.is_known {
            return Ok(());
        }
        if seen.captured != Credits::ZERO {
            // What the book captured must be in what is read, or what is besides would come out too small.
            self.caught_up().await?;
        }
        let stored = self.store.used_by(id, period, user).await?;
        book.told(user, seen, stored);
        Ok(())
    }

    /// Returns once all that was charged before is in the store.
    async fn caught_up(&self) -> Result<(), StoreError> {
        let Some((journal, hurry)) = &self.journal else { return Ok(()) };
        hurry.notify_one();
        let caught_up = tokio::time::timeout(CAUGHT_UP_WITHIN, journal.caught_up()).await;
        caught_up.map_err(|late| StoreError::Unavailable(Box::new(late)))
    }

    /// Whether a hold may still be charged, in the account in which it was opened.
    pub(crate) async fn secure(&self, id: &OrganizationId, period: Period, hold: &mut Hold) -> bool {
        match &self.leases {
            Some(leases) => leases.secure(LeaseKey::of(id.clone(), period), hold).await,
            None => true,
        }
    }

    /// Has what a change may have changed looked at: limits where there are leases, adjustments where there are none.
    pub(crate) async fn changed(&self, changed: &Changed) -> Result<(), StoreError> {
        match (&self.leases, changed) {
            (Some(leases), Changed::Organization(id)) => leases.limits_changed(Some(id)),
            (Some(leases), Changed::Plan(_)) => leases.limits_changed(None),
            (None, Changed::Organization(id)) => self.read_adjusted(id).await?,
            (None, Changed::Plan(_)) | (_, Changed::EventDefinition(_) | Changed::Pricing) => {}
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
            book.doubt();
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
            None => self.open(id, period, None, amount, Grant { credits: limit, calls: None }).await.map(Some),
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
        match leases.seen(LeaseKey::of(id.clone(), period)).await {
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
