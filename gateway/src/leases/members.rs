//! How the lease of a member with a limit begins at this gateway. It must never begin while something of what the member
//! spent here is neither in the store nor counted as charged: the limit would be overrun by that.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Credits, LeaseKey, StoreError, UserId};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Account, Leases, WAIT_FOR_ANSWER};

/// How long it is waited for charges of the member's that are being written down.
const BEGIN_AGAIN_AFTER: Duration = Duration::from_millis(5);
/// Beginnings are numbered from here, below every request.
const FIRST_BEGINNING: i64 = i64::MIN / 2;

impl Leases {
    /// Begins the lease of a member. `caught_up` returns once all that was charged before is in the store.
    pub(crate) async fn begin<F>(
        &self,
        organization: &LeaseKey,
        user: &UserId,
        caught_up: impl Fn() -> F,
    ) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let late = || StoreError::Unavailable("a member's lease does not begin".into());
        let deadline = Instant::now() + WAIT_FOR_ANSWER;
        let member = self.member(organization, user);
        let book = &member.book;
        let mut beginnings = timeout_at(deadline, member.beginnings.lock()).await.map_err(|_late| late())?;
        while !book.has_begun(user) {
            if let Some(captured) = book.may_begin(user) {
                // Where the book captured nothing there is nothing to wait for.
                if captured != Credits::ZERO {
                    caught_up().await?;
                }
                // One that nobody waits for any more may still reach the store: it must come too late there.
                *beginnings = beginnings.saturating_add(1);
                let epoch = FIRST_BEGINNING.saturating_add(*beginnings);
                let begun = timeout_at(deadline, self.store.begin(self.instance, &member.key, captured, epoch)).await;
                begun.map_err(|_late| late())??;
                if book.begin(user, captured) {
                    break;
                }
            }
            if Instant::now() >= deadline {
                return Err(late());
            }
            sleep(BEGIN_AGAIN_AFTER).await;
        }
        Ok(())
    }

    /// A member's account, in the organisation's book.
    fn member(&self, organization: &LeaseKey, user: &UserId) -> Arc<Account> {
        let key = organization.of_member(user);
        if let Some(account) = self.find(&key) {
            return account;
        }
        let book = self.open_book(organization);
        Arc::clone(self.accounts.write().entry(key.clone()).or_insert_with(|| Account::new(key, book)))
    }
}
