//! Drives the leases of this gateway: sends what its books ask for, wakes the calls that wait for an answer, gives back
//! what other instances ask for, and lets them hear what was charged. `ledger::Book` decides; nothing here may spend or
//! grant.

mod account;
mod members;
mod telling;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ledger::{
    Book, Credits, Grant, Hold, HoldRefused, InstanceId, LeaseKey, LeaseNews, LeaseRequest, LeaseStore, LeaseTerms,
    NotOpened, OrganizationId, Period, Spender, Ticket,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use self::account::Account;
use self::telling::Telling;
use crate::uptime;

/// How long a call waits for credit that other instances may give back, before it is refused.
const WAIT_FOR_CREDIT: Duration = Duration::from_secs(1);
/// How long it waits in all for a store that is slow, before nobody knows whether there is credit.
const WAIT_FOR_ANSWER: Duration = Duration::from_secs(3);
/// How often all books are looked through for leases to renew, grow or give back.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often asks are looked for where no notification came.
const POLL_ASKS_EVERY: Duration = Duration::from_millis(250);
/// How far apart asks are looked for at least, however many notifications come.
const ASKS_APART: Duration = Duration::from_millis(20);
/// A request without an answer for this long is given up: the next one says it again. A database that takes half a second
/// for every statement has answered by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// Leases in one statement, at most.
const BATCH_LEASES_MAX: usize = 1_000;
/// Statements on their way at once, at most, so that a call's need does not wait behind a round of renewals.
const BATCHES_MAX: usize = 4;

/// All leases of this gateway.
pub(crate) struct Leases {
    store: Arc<dyn LeaseStore>,
    instance: InstanceId,
    terms: LeaseTerms,
    accounts: RwLock<HashMap<LeaseKey, Arc<Account>>>,
    /// Accounts that a call waits for.
    needy: Mutex<HashSet<LeaseKey>>,
    wake: Notify,
    /// Somebody may ask for credit.
    asks: Notify,
    telling: Telling,
}

/// Why a call has no hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHold {
    /// There is no credit for it.
    Refused(HoldRefused),
    /// The store did not answer, so nobody knows.
    NotAnswered,
    /// The user has a limit, and no lease that [began](Leases::begin).
    NotBegun,
}

impl Leases {
    pub(crate) fn new(store: Arc<dyn LeaseStore>, instance: InstanceId) -> Arc<Self> {
        Arc::new(Self {
            store,
            instance,
            terms: LeaseTerms::default(),
            accounts: RwLock::default(),
            needy: Mutex::default(),
            wake: Notify::new(),
            asks: Notify::new(),
            telling: Telling::default(),
        })
    }

    /// Holds `amount` for a call; waits where the lease has to grow first.
    pub(crate) async fn open(
        &self,
        key: LeaseKey,
        by: Option<&Spender>,
        amount: Credits,
        grant: Grant,
    ) -> Result<Hold, NoHold> {
        let account = self.account(key);
        match account.book.open_by(by, amount, grant, uptime::now(), None) {
            Ok(hold) => Ok(hold),
            Err(NotOpened::Refused(refused)) => Err(NoHold::Refused(refused)),
            Err(NotOpened::NotBegun) => Err(NoHold::NotBegun),
            Err(NotOpened::NeedsCredit(ticket)) => self.open_later(&account, by, amount, grant, ticket).await,
        }
    }

    async fn open_later(
        &self,
        account: &Account,
        by: Option<&Spender>,
        amount: Credits,
        grant: Grant,
        first: Ticket,
    ) -> Result<Hold, NoHold> {
        let member = by.and_then(|by| self.find(&account.key.of_member(&by.user_id)));
        let member = member.as_deref().unwrap_or(account);
        let all_failures = || account.failures.load(Ordering::SeqCst) + member.failures.load(Ordering::SeqCst);
        let (began, failures) = (Instant::now(), all_failures());
        let mut ticket = first;
        loop {
            let waits_for = if ticket.waits_for_member() { member } else { account };
            self.answer(&[waits_for], began + WAIT_FOR_ANSWER).await;
            match account.book.open_by(by, amount, grant, uptime::now(), Some(ticket)) {
                Ok(hold) => return Ok(hold),
                Err(NotOpened::Refused(refused)) => return Err(NoHold::Refused(refused)),
                Err(NotOpened::NotBegun) => return Err(NoHold::NotBegun),
                Err(NotOpened::NeedsCredit(next)) => ticket = next,
            }
            if began.elapsed() < WAIT_FOR_CREDIT {
                continue;
            }
            if let Some(refused) = account.book.give_up(by, amount, grant, ticket) {
                return Err(NoHold::Refused(refused));
            }
            // A store that is only slow is waited for; one that failed is not.
            if began.elapsed() >= WAIT_FOR_ANSWER || all_failures() != failures {
                return Err(NoHold::NotAnswered);
            }
        }
    }

    /// Whether the hold may be charged; asks for a new lease where the one it was opened under may be gone.
    pub(crate) async fn secure(&self, key: LeaseKey, hold: &mut Hold) -> bool {
        if hold.secure(uptime::now()) {
            return true;
        }
        let (account, deadline) = (self.account(key), Instant::now() + WAIT_FOR_CREDIT);
        let member = hold.leased_by().and_then(|user| self.find(&account.key.of_member(user)));
        let accounts: Vec<&Account> = [Some(&account), member.as_ref()].into_iter().flatten().map(|it| &**it).collect();
        for account in &accounts {
            account.book.limits_changed(account.of());
        }
        while self.answer(&accounts, deadline).await {
            if hold.secure(uptime::now()) {
                return true;
            }
        }
        false
    }

    /// Has the store asked for these accounts and waits for its answer for the last of them, not longer than until it may be
    /// asked again; false once the deadline has come.
    async fn answer(&self, accounts: &[&Account], deadline: Instant) -> bool {
        let Some(last) = accounts.last() else { return false };
        let answered = last.answered.notified();
        self.needy.lock().extend(accounts.iter().map(|account| account.key.clone()));
        self.wake.notify_one();
        let again = Instant::now() + Duration::from_millis(self.terms.poll_ms);
        let _ = timeout_at(again.min(deadline), answered).await;
        Instant::now() < deadline
    }

    /// The book of an account, opened where it is not.
    pub(crate) fn open_book(&self, key: &LeaseKey) -> Arc<Book> {
        Arc::clone(&self.account(key.clone()).book)
    }

    /// The book of an account, where it is open.
    pub(crate) fn book(&self, id: &OrganizationId, period: Period) -> Option<Arc<Book>> {
        self.find(&LeaseKey::of(id.clone(), period)).map(|account| Arc::clone(&account.book))
    }

    fn find(&self, key: &LeaseKey) -> Option<Arc<Account>> {
        self.accounts.read().get(key).map(Arc::clone)
    }

    fn account(&self, key: LeaseKey) -> Arc<Account> {
        if let Some(account) = self.find(&key) {
            return account;
        }
        let mut accounts = self.accounts.write();
        let account = accounts.entry(key.clone()).or_insert_with(|| {
            let book = Book::leased(key.clone(), self.terms);
            Account::new(key, book)
        });
        Arc::clone(account)
    }

    /// The limits of an organisation, or of any, may have changed.
    pub(crate) fn limits_changed(&self, id: Option<&OrganizationId>) {
        let accounts = self.accounts.read();
        let changed = accounts.values().filter(|account| id.is_none_or(|id| *id == account.key.organization_id));
        let mut needy = self.needy.lock();
        for account in changed {
            account.book.limits_changed(account.of());
            needy.insert(account.key.clone());
        }
        self.wake.notify_one();
    }

    /// Forgets the accounts of periods before `last_open` on which no call is left.
    pub(crate) fn close_before(&self, last_open: Period) {
        let over = |account: &Account| account.key.period < last_open && account.book.snapshot().calls_held == 0;
        self.accounts.write().retain(|_, account| Arc::strong_count(account) > 1 || !over(account));
    }

    /// How many holds are open.
    pub(crate) fn holds_open(&self) -> u64 {
        let accounts = self.accounts.read();
        let books = accounts.values().filter(|account| account.of().is_none()).map(|account| account.book.snapshot());
        books.map(|book| book.calls_held).sum()
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::join!(self.renew(), self.hear(), self.listen(), self.strike(), self.tell());
    }

    /// Gives everything back, once nothing runs any more and every charge is applied.
    pub(crate) async fn retire(&self, within: Duration) {
        if !matches!(timeout(within, self.store.retire(self.instance)).await, Ok(Ok(()))) {
            tracing::warn!("leases were not given back: they expire");
        }
    }

    async fn renew(self: &Arc<Self>) {
        let mut batches = JoinSet::new();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let accounts = tokio::select! {
                _ = looks.tick() => self.accounts.read().values().cloned().collect::<Vec<_>>(),
                () = self.wake.notified() => self.take_needy(),
            };
            // Read before the requests go out: from here the leases count.
            let now = uptime::now();
            let due = accounts.into_iter().filter_map(|account| {
                let request = account.book.request(account.of(), now)?;
                Some((account, request))
            });
            let mut due: Vec<_> = due.collect();
            while !due.is_empty() {
                while batches.len() >= BATCHES_MAX {
                    batches.join_next().await;
                }
                let rest = due.split_off(due.len().min(BATCH_LEASES_MAX));
                batches.spawn(Arc::clone(self).send(std::mem::replace(&mut due, rest)));
            }
            while batches.try_join_next().is_some() {}
        }
    }

    fn take_needy(&self) -> Vec<Arc<Account>> {
        let needy = std::mem::take(&mut *self.needy.lock());
        let accounts = self.accounts.read();
        needy.iter().filter_map(|key| accounts.get(key).cloned()).collect()
    }

    async fn send(self: Arc<Self>, due: Vec<(Arc<Account>, LeaseRequest)>) {
        let (accounts, requests): (Vec<_>, Vec<_>) = due.into_iter().unzip();
        let renewed = timeout(ANSWER_WITHIN, self.store.renew(self.instance, &requests)).await;
        if !matches!(renewed, Ok(Ok(_))) {
            for account in &accounts {
                account.failures.fetch_add(1, Ordering::SeqCst);
            }
        }
        match renewed {
            Ok(Ok(grants)) => {
                let by_key: HashMap<_, _> = grants.iter().map(|grant| (&grant.key, grant)).collect();
                for grant in accounts.iter().filter_map(|account| Some((account, by_key.get(&account.key)?))) {
                    grant.0.book.answered(grant.1);
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, leases = requests.len(), "leases are not renewed now"),
            Err(_late) => tracing::warn!(leases = requests.len(), "the store does not answer for leases"),
        }
        for (account, request) in accounts.iter().zip(&requests) {
            // For those that had their answer this says nothing.
            account.book.unanswered(account.of(), request.epoch);
            account.answered.notify_waiters();
        }
    }

    /// Hears the others.
    async fn hear(&self) {
        loop {
            match self.store.news(self.instance).await {
                LeaseNews::Asked => self.asks.notify_one(),
                LeaseNews::Told(by, keys) => self.heard(by, keys),
            }
        }
    }

    /// Gives what others ask for.
    async fn listen(&self) {
        loop {
            tokio::time::sleep(ASKS_APART).await;
            let _ = timeout(POLL_ASKS_EVERY, self.asks.notified()).await;
            match timeout(ANSWER_WITHIN, self.store.asked(self.instance)).await {
                Ok(Ok(keys)) if !keys.is_empty() => {
                    for account in keys.iter().filter_map(|key| self.find(key)) {
                        account.book.asked(account.of(), uptime::now());
                        self.needy.lock().insert(account.key.clone());
                    }
                    self.wake.notify_one();
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => tokio::time::sleep(POLL_ASKS_EVERY).await,
            }
        }
    }

    /// Strikes leases whose instances are gone.
    async fn strike(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(self.terms.strike_every_ms));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match timeout(ANSWER_WITHIN, self.store.reclaim()).await {
                Ok(Ok(0)) | Err(_) => {}
                Ok(Ok(reclaimed)) => tracing::warn!(reclaimed, "leases of instances that are gone were reclaimed"),
                Ok(Err(error)) => tracing::debug!(%error, "leases are not reclaimed now"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
