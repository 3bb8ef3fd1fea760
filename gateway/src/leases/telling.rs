//! What gateways let each other know, so that what an answer says is left counts the charges of all. It is behind by some
//! milliseconds, and decides about nothing: no call may ever wait for it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ledger::{BookSnapshot, InstanceId, LeaseKey, OrganizationId, Period, Share, StoreError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::{ANSWER_WITHIN, BATCH_LEASES_MAX, Leases};
use crate::uptime;

/// How far apart at least it is told what was charged.
const TELLS_APART: Duration = Duration::from_millis(20);
/// How often it is told that this gateway is there, and the accounts that are in use are read anew, whatever was missed.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// A gateway that was not heard of for this long is gone.
const PEER_FOR: Duration = Duration::from_secs(10);
/// For how long after its start a gateway does not know yet who else is there.
const NEW_FOR: Duration = Duration::from_secs(3);

/// What is to be told, and to whom.
pub(super) struct Telling {
    started: Instant,
    /// Accounts that were charged, here or elsewhere.
    due: Mutex<HashSet<LeaseKey>>,
    /// Accounts charged here since the last round.
    in_use: Mutex<HashSet<LeaseKey>>,
    /// The other gateways, and when each was last heard of.
    peers: Mutex<HashMap<InstanceId, Instant>>,
    /// Somebody is to hear that this gateway is there.
    greets: AtomicBool,
    wake: Notify,
}

impl Default for Telling {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            due: Mutex::default(),
            in_use: Mutex::default(),
            peers: Mutex::default(),
            greets: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }
}

impl Telling {
    fn is_alone(&self) -> bool {
        self.started.elapsed() > NEW_FOR && self.peers.lock().is_empty()
    }
}

impl Leases {
    /// An account was charged here.
    pub(crate) fn charged(&self, id: &OrganizationId, period: Period) {
        if self.telling.is_alone() {
            return;
        }
        let key = LeaseKey::of(id.clone(), period);
        self.telling.in_use.lock().insert(key.clone());
        self.telling.due.lock().insert(key);
        self.telling.wake.notify_one();
    }

    /// Another gateway is there, and charged these accounts.
    pub(super) fn heard(&self, by: InstanceId, keys: Vec<LeaseKey>) {
        let is_new = self.telling.peers.lock().insert(by, Instant::now()).is_none();
        let mut due = self.telling.due.lock();
        let accounts = self.accounts.read();
        due.extend(keys.into_iter().filter(|key| accounts.contains_key(key)));
        if is_new {
            // It knows nothing of what was charged here, nor that we are here.
            tracing::info!(instance = %by, "another gateway is there");
            self.telling.greets.store(true, Ordering::SeqCst);
            due.extend(accounts.keys().filter(|key| key.user_id.is_none()).cloned());
        }
        if is_new || !due.is_empty() {
            self.telling.wake.notify_one();
        }
    }

    /// Tells and reads for ever.
    pub(super) async fn tell(&self) {
        let mut rounds = tokio::time::interval(TELL_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => self.round(),
                () = self.telling.wake.notified() => {}
            }
            if self.telling.greets.swap(false, Ordering::SeqCst) {
                self.tell_of(&[]).await;
            }
            let due: Vec<LeaseKey> = self.telling.due.lock().drain().collect();
            for batch in due.chunks(BATCH_LEASES_MAX) {
                self.tell_of(batch).await;
            }
            tokio::time::sleep(TELLS_APART).await;
        }
    }

    /// What makes good what was missed.
    fn round(&self) {
        self.telling.greets.store(true, Ordering::SeqCst);
        self.telling.peers.lock().retain(|_, heard| heard.elapsed() < PEER_FOR);
        let in_use: Vec<LeaseKey> = self.telling.in_use.lock().drain().collect();
        self.telling.due.lock().extend(in_use);
    }

    /// What all gateways charged of an account, read now.
    pub(crate) async fn seen(&self, key: LeaseKey) -> Result<BookSnapshot, StoreError> {
        let book = self.book(&key.organization_id, key.period);
        let book = book.unwrap_or_else(|| ledger::Book::leased(key.clone(), self.terms));
        let asked = uptime::now();
        for all in self.store.tell(self.instance, &[(key, book.spent())]).await? {
            book.heard(&all, asked);
        }
        Ok(book.snapshot())
    }

    async fn tell_of(&self, keys: &[LeaseKey]) {
        let spent: Vec<(LeaseKey, Share)> = {
            let accounts = self.accounts.read();
            keys.iter().filter_map(|key| Some((key.clone(), accounts.get(key)?.book.spent()))).collect()
        };
        let asked = uptime::now();
        match timeout(ANSWER_WITHIN, self.store.tell(self.instance, &spent)).await {
            Ok(Ok(all)) => {
                let accounts = self.accounts.read();
                for all in all {
                    if let Some(account) = accounts.get(&all.key) {
                        account.book.heard(&all, asked);
                    }
                }
            }
            // It is told again with the next charge, and read with the next renewal.
            Ok(Err(error)) => tracing::debug!(%error, "what was charged is not told now"),
            Err(_late) => tracing::debug!("the store does not answer what was charged"),
        }
    }
}
