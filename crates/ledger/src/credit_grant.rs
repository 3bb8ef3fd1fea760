//! Grants with an end: credits beside the plan's, such as a top-up.
//!
//! A grant is an adjustment that gives its credits in the month in which it is made, so that limits, books and leases know
//! nothing of it. The plan's credits are spent first, then the grants', that which ends first before the others. What is
//! left of a grant when its month is over is taken there and given in the present one; what is left when it ends is taken.

use async_trait::async_trait;

use crate::{Change, Credits, OrganizationId, Period, StoreError, Timestamp, UsageEventId};

/// A grant that has not ended, as it was last moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditGrant {
    /// The event that gave it.
    pub id: UsageEventId,
    /// When what is left of it ends.
    pub expires_at: Timestamp,
    /// The period in which its credits are.
    pub period: Period,
    /// How many are there, spent or not.
    pub credits: Credits,
}

impl CreditGrant {
    /// Grants of one organisation that have not ended, at most.
    pub const OPEN_MAX: usize = 100;
    /// For whom grants count: nobody's own usage.
    pub const USER: &'static str = "credit-grant";

    /// Whether something is to be done: its month is over, or its time.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.expires_at <= now || self.period < Period::of(now)
    }
}

/// What is left of each of the grants of one period, which are in the order in which they end, where `free` is what the
/// limit leaves: the last one is spent last.
pub fn left_of(grants: &[CreditGrant], free: Credits) -> Vec<Credits> {
    let mut free = free.max(Credits::ZERO);
    let mut left: Vec<Credits> = Vec::with_capacity(grants.len());
    for grant in grants.iter().rev() {
        let of_it = grant.credits.min(free);
        free = free.saturating_sub(of_it);
        left.push(of_it);
    }
    left.reverse();
    left
}

/// Grants, as a store keeps them. [`Adjustments::adjust`](crate::Adjustments::adjust) makes them.
#[async_trait]
pub trait CreditGrants: Send + Sync + 'static {
    /// The grants of an organisation that have not ended, in the order in which they do.
    async fn credit_grants(&self, id: &OrganizationId) -> Result<Vec<CreditGrant>, StoreError>;

    /// Ends a grant now; what is left of it is taken when it is next moved. Whether there was one.
    async fn end_credit_grant(
        &self,
        id: &OrganizationId,
        grant: UsageEventId,
        change: &Change,
    ) -> Result<bool, StoreError>;

    /// Where something is to be done; at most 100.
    async fn credit_grants_due(&self, now: Timestamp) -> Result<Vec<(OrganizationId, Period)>, StoreError>;

    /// Moves what is left of the grants of a period: those that ended are taken, those whose month is over go into the
    /// present one, in one transaction. `free` is what the limit leaves, where a live book knows that better; else the store
    /// counts what is leased as spent, and leaves a month alone of which anything is leased. Whether anything was moved.
    async fn move_credit_grants(
        &self,
        id: &OrganizationId,
        period: Period,
        free: Option<Credits>,
        change: &Change,
    ) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grants(credits: &[i64]) -> Vec<CreditGrant> {
        let now = Timestamp::from_millis(0);
        let grant = |(days, credits): (i64, &i64)| CreditGrant {
            id: UsageEventId::new(now),
            expires_at: now.plus_millis(days * 86_400_000),
            period: Period::of(now),
            credits: Credits::from_micros(*credits),
        };
        (0..).zip(credits).map(grant).collect()
    }

    proptest! {
        /// The model spends a millionth at a time: the plan's, then those of the first grant that has any.
        #[test]
        fn what_is_left_is_what_spending_one_by_one_leaves(
            plan in 0_i64..40,
            given in prop::collection::vec(0_i64..30, 0..6),
            spent in 0_i64..250,
        ) {
            let (mut of_plan, mut model) = (plan, given.clone());
            for _ in 0..spent {
                match model.iter_mut().find(|left| **left > 0) {
                    _ if of_plan > 0 => of_plan -= 1,
                    Some(left) => *left -= 1,
                    None => {}
                }
            }
            let free = plan + given.iter().sum::<i64>() - spent;
            let left: Vec<i64> = left_of(&grants(&given), Credits::from_micros(free)).iter().map(|it| it.micros()).collect();
            prop_assert_eq!(left, model);
        }
    }

    #[test]
    fn a_grant_is_due_at_its_end_and_at_its_months() {
        let mut grant = grants(&[5]).remove(0);
        grant.expires_at = "1970-01-20T00:00:00Z".parse().unwrap();
        for (now, due) in [("1970-01-19T23:59:59.999Z", false), ("1970-01-20T00:00:00Z", true)] {
            assert_eq!(grant.is_due(now.parse().unwrap()), due, "{now}");
        }
        grant.expires_at = "1970-03-01T00:00:00Z".parse().unwrap();
        for (now, due) in [("1970-01-31T23:59:59.999Z", false), ("1970-02-01T00:00:00Z", true)] {
            assert_eq!(grant.is_due(now.parse().unwrap()), due, "{now}");
        }
    }
}
