//! Leases: how several gateways spend one organisation's credits without asking a database on the paid path.
//!
//! An instance must never open a hold that its lease does not cover, and must never think that its lease is larger or
//! longer than the store's row says.
//!
//! # The row
//!
//! One row an organisation, period and instance ([`LeaseKey`], [`InstanceId`]):
//!
//! | column | meaning |
//! |---|---|
//! | `granted` | all that was ever granted to this instance for the period, less what it gave back |
//! | `charged` | all charges of this instance that were ever applied |
//! | `expires_at` | by the database's clock |
//! | `epoch` | the number of the newest request that took effect |
//! | `spent` | all charges of this instance, as it last told: those that are not applied yet included |
//! | `yielded_at` | when a request that [yields](LeaseRequest::yields) last took effect |
//! | `strikes`, `struck_at` | how often the row was found expired since its last renewal |
//!
//! The **amount** of the lease is `granted − charged`: what the instance may still charge. Credits and calls are leased
//! side by side, as one [`Share`]. A member who has a limit has an account of their own, leased by the same rules and
//! with the same messages ([below](#members)). Both numbers only ever count up or are set outright, so neither a lost answer nor a
//! request that is sent twice nor an apply whose outcome is unknown can make the two sides disagree about a difference.
//!
//! The instance has a [`Book`](crate::Book) with an allowance: `spent` (charged since the row began), `held` (by calls
//! on their way), and `granted`: what the row has at least, whatever became of requests on their way. An account that
//! has no limit needs no lease: its holds are opened freely, and its charges still pass through the row.
//!
//! # States of a lease
//!
//! | state | by which clock | holds are opened | holds are charged | counts against the limit |
//! |---|---|---|---|---|
//! | live | instance: sent + `ttl` − `margin` | yes | yes | yes |
//! | lapsed | instance, after that | no | yes | yes |
//! | lost | instance: a reclaim was possible − `settle_margin` | no | no | yes |
//! | reclaimed | store: `strikes_max` strikes after `expires_at` | no | no | no |
//!
//! "Sent" is the instance's monotonic time *before* the request went out, so the store's row always ends later than the
//! instance thinks; wall clocks play no part. A process that slept through its lease reads the clock when it wakes and
//! is in the right state at once. A renewal leads back to live from every state; after a reclaim it takes what is
//! there.
//!
//! A strike says: the store was up, the lease had expired, and its owner did not come. Strikes are at least
//! `strike_every` apart, so a lease is not reclaimed by a jump of the store's clock or in the first moment after an
//! outage, but only after its owner had that many chances to renew it. A charge that is applied is taken from the lease
//! in the same transaction: spending never changes `used + Σ amounts`.
//!
//! # Messages
//!
//! - **renew** ([`LeaseRequest`] → [`LeaseGrant`]): grants, renews, shrinks, gives back and asks, many accounts at
//!   once. Sent ahead of need, when half of the lease's time or of its ready credit is gone; when a call waits; when
//!   something is to be given back; as long as anything is held or not known to be applied. One request an account is
//!   on its way at a time. From the moment it is sent the instance counts on no more than `keep`, because the store may
//!   do it at any time, even after the instance gave up; the store does nothing for a request that is older than one it
//!   did.
//! - **ask**: a need that was not met stands as an ask for `ask_ttl`. The others hear of it by a notification, by
//!   polling, and with their own renewals, and answer with a renewal that yields: nothing is kept or wanted but what
//!   calls hold and wait for. The asker polls meanwhile; an instance that is not given what it needs gives back what it
//!   has, so that two halves of a call's need are never held against each other.
//! - **apply**: charges go to `used` and from the lease. **reclaim**: strikes. **retire**: the rows of a life that is
//!   over go.
//!
//! - **tell**: what an instance charged, some milliseconds ago at most, whether it is applied or not. It decides about
//!   nothing: other instances hear of it by a notification and read it, so that what their answers say is left counts
//!   the charges of all. A tell that is lost is made good by the next one, by a renewal, and by the apply.
//!
//! How much is wanted adapts: three seconds of the observed rate and at least two calls; of what the limit leaves a
//! quarter, or one call's need where that is more; nothing after `idle_ms` without a call.
//!
//! A call for which the lease has no room waits, a second at most. It is refused when no other instance has anything,
//! when all that have something yielded since the call came, or when it has waited long enough.
//!
//! # Members
//!
//! A member's limit is a second account: a row has a member in its key, its limit is the member's, and calls are not
//! counted in it. A hold is opened in both accounts under one lock or in neither, and is secure when both say so. A call
//! that waits for the organisation's credit has its member's kept for it meanwhile: another call of the member's can be
//! refused for that, even where the one that waits is refused in the end.
//!
//! Members without a limit have no rows and cost nothing, so a member's account begins in the middle of things, at the
//! first call for which an instance finds a limit. **begin** makes the row with `granted = charged =` what the
//! instance's book captured of the member so far, once all of that is applied and nothing of it is on its way; where
//! something was captured meanwhile it begins again, before the first renewal. The first of all instances has what the
//! member used summed up, in the same transaction; from then on each apply moves it along. Calls that are on their way
//! when a member is first given a limit count at their own instance at once, and at others when they end.
//!
//! # What holds
//!
//! Always, whatever fails and whatever any clock says but for a database that loses what it committed:
//!
//! 1. No grant takes `used + Σ amounts` over the limit in force; nothing else raises it but a late charge (4).
//! 2. `granted` at the instance ≤ `granted` in its row, until the row is reclaimed.
//! 3. Every charge is counted once in `used`.
//! 4. A charge applied after its lease was reclaimed is **late**: it counts even if that takes `used` over the limit,
//!    because the client has its receipt. The late charges of an instance never exceed what was reclaimed from it,
//!    but for calls that were held while there was no limit.
//!
//! While clocks run true to `margin / ttl` (8 %) of each other and the store's is not set ahead: 5. no hold is opened
//! when its lease has expired; 6. a charge that is applied within `settle_margin` of having been found
//! [secure](crate::Hold::secure) is not late. Together: **used + what is held and can still be charged ≤ limit**, as
//! long as each instance applies its charges within `settle_margin`, or its lease is not reclaimed before. That covers
//! outages of the store of any length (no strikes), crashes whose journal is replayed before the lease is reclaimed,
//! and crashes whose journal is lost. It does not cover an instance that is cut off, or dead with a journal, for longer
//! than its lease lasts (`ttl` and the strikes, 20 s) *and* comes back with charges; nothing can, unless its credit
//! stays locked for ever. Then the excess is those charges and no more, nothing further is granted, and raising
//! `strikes_max` trades one for the other. A store's clock set ahead shortens a lease to its strikes.
//!
//! A hold that outlives its lease is charged only under a new one; where there is no credit for that, or no answer, its
//! call is given free.
//!
//! A limit that is lowered stops an instance at its next look: no hold is opened under more than the limit it knows,
//! ready credit goes back, nothing new is granted. What was charged or held before stays. A wrong wall clock can only
//! put a call into the neighbouring month, whose limit is kept as well.
//!
//! No credit is lost: what nobody holds goes back when idle, and what a dead instance had is free after `ttl` and the
//! strikes. Until then, and for what came free elsewhere in the last moments (`3 × poll_ms`), a call can be refused for
//! credit that is there.
//!
//! `tests/leases/` checks all of this by simulation.

mod allowance;
mod instance;
mod pace;
mod share;

use crate::{Grant, OrganizationId, Period, Timestamp, UserId};

pub(crate) use allowance::{Allowance, Turn, Verdict};
pub use instance::InstanceId;
pub use share::{Reach, Share};

/// Whose lease, for when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey {
    /// Whose credits.
    pub organization_id: OrganizationId,
    /// Which period's.
    pub period: Period,
    /// Whose of its members, where it is the account of one who has a limit.
    pub user_id: Option<UserId>,
}

impl LeaseKey {
    /// The account of an organisation.
    pub const fn of(organization_id: OrganizationId, period: Period) -> Self {
        Self { organization_id, period, user_id: None }
    }

    /// The account of one of its members.
    #[must_use]
    pub fn of_member(&self, user: &UserId) -> Self {
        Self { user_id: Some(user.clone()), ..self.clone() }
    }
}

/// The tickets of a call that waits for its organisation's credit or for its member's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) organization: Option<Turn>,
    pub(crate) member: Option<Turn>,
    pub(crate) waits_for_member: bool,
}

impl Ticket {
    /// Whether it is the member's credit that the call waits for.
    pub fn waits_for_member(&self) -> bool {
        self.waits_for_member
    }
}

/// How long a lease lasts and when it is taken from an instance that is gone. The same for all instances of a version;
/// different ones may meet, because a row carries its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long a renewal lasts, by the database's clock, from the moment at which the statement reads it.
    pub ttl_ms: u64,
    /// How many strikes end an expired lease.
    pub strikes_max: u64,
    /// A row is struck at most this often, by the database's clock, whoever strikes.
    pub strike_every_ms: u64,
    /// How long an ask stands without being repeated, by the database's clock.
    pub ask_ttl_ms: u64,
    /// How much earlier than that the instance stops opening holds: more than its clock can go wrong in `ttl`.
    pub margin_ms: u64,
    /// How much earlier than a reclaim can come the instance stops charging: more than a charge takes to be written
    /// down and applied.
    pub settle_margin_ms: u64,
    /// After how long without a call what is free goes back.
    pub idle_ms: u64,
    /// How long at least between two requests for one account that no call waits for.
    pub retry_ms: u64,
    /// How long at least between two requests of a call that waits for what others may give back.
    pub poll_ms: u64,
}

impl LeaseTerms {
    /// No lease is reclaimed sooner after a renewal was sent.
    pub const fn reclaimed_after_ms(&self) -> u64 {
        let strikes_between = self.strikes_max.saturating_sub(1);
        self.ttl_ms.saturating_add(self.strike_every_ms.saturating_mul(strikes_between))
    }
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self {
            ttl_ms: 12_000,
            strikes_max: 8,
            strike_every_ms: 1_000,
            ask_ttl_ms: 2_000,
            margin_ms: 1_000,
            settle_margin_ms: 4_000,
            idle_ms: 30_000,
            retry_ms: 1_000,
            poll_ms: 50,
        }
    }
}

/// What an instance wants of one lease. Totals since the row began, not differences: `granted` as it should be.
///
/// `keep ≤ want` and `need ≤ want`, for credits and for calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Which lease.
    pub key: LeaseKey,
    /// Larger than that of every earlier request of this instance: a request that comes late changes nothing.
    pub epoch: i64,
    /// What is spent, held or may still be spent before the answer comes: of what is granted the store takes nothing
    /// below it.
    pub keep: Share,
    /// What a waiting call needs; `keep` where none waits. Less than this is no use: the store grants all of it or
    /// nothing new, and asks the others in this instance's name.
    pub need: Share,
    /// What would do for the next seconds. What is granted beyond it goes back.
    pub want: Share,
    /// Whether this is an answer to an ask: nothing is kept or wanted but what calls hold and wait for.
    pub yields: bool,
}

impl LeaseRequest {
    /// What becomes of `granted`, and whether the need was met: the rule that every store keeps. `reach` goes by what
    /// is charged already, `granted` is never below that.
    pub fn decide(&self, granted: Share, charged: Share, reach: Reach) -> (Share, bool) {
        let kept = granted.min(self.keep);
        let met = reach.covers(self.need);
        let decided = if met { reach.cut(self.want).max(kept) } else { kept };
        (decided.max(charged), met)
    }
}

/// A lease as its row stands after a request took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The request that made it so.
    pub epoch: i64,
    /// Granted since the row began, less what was given back.
    pub granted: Share,
    /// Charges applied since the row began.
    pub charged: Share,
    /// Its end by the database's clock. For people and reports: an instance reckons by its own monotonic clock.
    pub expires_at: Timestamp,
}

/// The answer to a request: the lease, and what the store knows of the account as a whole, all at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseGrant {
    /// Which lease.
    pub key: LeaseKey,
    /// The lease.
    pub lease: Lease,
    /// The limits in force.
    pub grant: Grant,
    /// What all applied charges of the period add up to.
    pub used: Share,
    /// Σ charges of the other instances that are not applied yet, as far as they told.
    pub told_elsewhere: Share,
    /// Σ amounts of the other instances' leases.
    pub leased_elsewhere: Share,
    /// How long ago, by the database's clock, the slowest of the other instances with an amount last sent a request
    /// that yields; 0 where no other has an amount. A call that has waited longer than that has been heard by all of
    /// them.
    pub silent_ms: u64,
    /// Whether another instance asks for credit of this account now.
    pub asked: bool,
}

/// What all instances together used of an account, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseUsed {
    /// Which account.
    pub key: LeaseKey,
    /// What all applied charges of the period add up to.
    pub used: Share,
    /// Σ charges of the other instances that are not applied yet, as far as they told.
    pub told_elsewhere: Share,
    /// How much of `used` is this instance's.
    pub charged: Share,
}

/// What an instance hears of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseNews {
    /// One of them may ask for credit.
    Asked,
    /// This one is there, and charged these accounts, if any.
    Told(InstanceId, Vec<LeaseKey>),
}

impl LeaseGrant {
    /// What all instances together used.
    pub(crate) fn all_used(&self) -> LeaseUsed {
        let Self { key, used, told_elsewhere, .. } = self;
        LeaseUsed { key: key.clone(), used: *used, told_elsewhere: *told_elsewhere, charged: self.lease.charged }
    }

    /// How far the lease's `granted` may go under the limit.
    pub fn reach(&self) -> Reach {
        Reach::new(self.grant, self.lease.charged, self.used, self.leased_elsewhere)
    }
}

#[cfg(test)]
mod tests;
