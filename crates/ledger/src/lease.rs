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
//! | `yielded_at` | when a request that [yields](LeaseRequest::yields) last took effect |
//! | `strikes`, `struck_at` | how often the row was found expired since its last renewal |
//!
//! The **amount** of the lease is `granted − charged`: what the instance may still charge. Credits and calls are leased
//! side by side, as one [`Share`]. Both numbers only ever count up or are set outright, so neither a lost answer nor a
//! request that is sent twice nor an apply whose outcome is unknown can make the two sides disagree about a difference.

mod allowance;
mod pace;
mod share;

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::ids::IdError;
use crate::{Grant, OrganizationId, Period, Timestamp};

pub use allowance::Ticket;
pub(crate) use allowance::{Allowance, Verdict};
pub use share::{Reach, Share};

/// One life of one gateway process: a UUIDv7. A process that starts takes a new one and, once the journal of the life
/// before it is applied, retires that one's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Uuid);

impl InstanceId {
    /// A new id whose time part is `now`.
    pub fn new(now: Timestamp) -> Self {
        let (seconds, nanos) = now.seconds_and_nanos();
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_hyphenated())
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InstanceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let uuid = Some(text).filter(|text| text.len() == 36).and_then(|text| Uuid::parse_str(text).ok());
        uuid.map(Self).ok_or_else(|| IdError::new("an instance id (a UUID)", 36))
    }
}

/// Whose lease, for when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey {
    /// Whose credits.
    pub organization_id: OrganizationId,
    /// Which period's.
    pub period: Period,
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
    /// How much earlier than a reclaim can come the instance stops charging: more than a charge takes to be written down
    /// and applied.
    pub settle_margin_ms: u64,
    /// After how long without a call what is free goes back.
    pub idle_ms: u64,
    /// How long at least between two requests for one account that no call waits for.
    pub retry_ms: u64,
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
    /// What a waiting call needs; `keep` where none waits. Less than this is no use: the store grants all of it or nothing
    /// new, and asks the others in this instance's name.
    pub need: Share,
    /// What would do for the next seconds. What is granted beyond it goes back.
    pub want: Share,
    /// Whether this is an answer to an ask: nothing is kept or wanted but what calls hold and wait for.
    pub yields: bool,
}

impl LeaseRequest {
    /// What becomes of `granted`, and whether the need was met: the rule that every store keeps. `reach` goes by what is
    /// charged already, `granted` is never below that.
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
    /// Σ amounts of the other instances' leases.
    pub leased_elsewhere: Share,
    /// How many other instances have an amount and sent no request that yields since this one's ask began; 0 where
    /// nothing was asked for. While it is not 0, credit may still come back.
    pub unanswered: u32,
    /// Whether another instance asks for credit of this account now.
    pub asked: bool,
}

impl LeaseGrant {
    /// How far the lease's `granted` may go under the limit.
    pub fn reach(&self) -> Reach {
        Reach::new(self.grant, self.lease.charged, self.used, self.leased_elsewhere)
    }
}
