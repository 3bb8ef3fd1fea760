//! Adjustments: credits that an operator gives back or takes, each a usage event of its own. What was settled never
//! changes: a charge that was wrong stays, and an adjustment stands beside it.
//!
//! An adjustment counts in the period in which it is made and for one user: the one that it names, else the one whose
//! event it adjusts, else the operator. Its credits are added to what is used like those of any event, so that Σ events
//! stays what is used; given credits are negative, and may take what is used below zero, where more remains than the
//! limit.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Change, Credits, EventType, OrganizationId, Outcome, PluginIdentity, RequestId, Signals, StoreError, Timestamp,
    UsageEvent, UsageEventId, UserId,
};

/// Why an operator adjusted, as it stands in the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adjustment {
    /// The operator's words.
    pub reason: String,
    /// The earlier event that it puts right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusts: Option<UsageEventId>,
    /// The operator: the credential's `sub`.
    pub made_by: String,
    /// When what is left of it ends; `None` where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Adjustment {
    /// The event type, the category and the label of every adjustment.
    pub const KIND: &'static str = "adjustment";
    /// The longest reason in bytes.
    pub const REASON_BYTES_MAX: usize = 500;
}

/// An adjustment to make. All of it is compared where its key comes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAdjustment {
    /// Whose.
    #[serde(skip)]
    pub organization_id: OrganizationId,
    /// The client's name for it: the same name is the same adjustment, for ever.
    #[serde(skip)]
    pub key: String,
    /// What it adds to what is used: below zero it gives, above zero it takes. Never zero.
    pub credits: Credits,
    /// Why.
    pub reason: String,
    /// The event that it puts right.
    pub adjusts: Option<UsageEventId>,
    /// For whom it counts.
    pub user_id: Option<UserId>,
    /// When what is left of it ends: then it is a grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The request that asks for it.
    #[serde(skip)]
    pub request_id: RequestId,
    /// The route by which it came.
    #[serde(skip)]
    pub endpoint: &'static str,
}

impl NewAdjustment {
    /// The event that it becomes, given the user of the event that it puts right.
    pub fn event(&self, change: &Change, of_adjusted: Option<UserId>) -> Result<UsageEvent, crate::IdError> {
        let user_id = match self.user_id.clone().or(of_adjusted) {
            Some(user_id) => user_id,
            None => change.actor.user_id.parse()?,
        };
        let event_type: EventType = Adjustment::KIND.parse()?;
        Ok(UsageEvent {
            id: UsageEventId::new(change.at),
            organization_id: self.organization_id.clone(),
            user_id,
            event_type,
            event_name: "Adjustment".to_owned(),
            category: Adjustment::KIND.to_owned(),
            definition_version: 0,
            occurred_at: change.at,
            settled_at: change.at,
            outcome: Outcome::Adjusted,
            credits: self.credits,
            held: Credits::ZERO,
            items: vec![crate::ChargeItem { label: Adjustment::KIND.to_owned(), credits: self.credits }],
            plugin: PluginIdentity::none().into(),
            signals: Signals::default(),
            plan: None,
            answer: None,
            session_id: None,
            request_id: self.request_id.clone(),
            endpoint: self.endpoint.into(),
            upstream_status: None,
            adjustment: Some(Adjustment {
                reason: self.reason.clone(),
                adjusts: self.adjusts,
                made_by: change.actor.user_id.clone(),
                expires_at: self.expires_at,
            }),
        })
    }
}

/// What became of an adjustment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adjusted {
    /// It was made.
    Made(UsageEvent),
    /// It had been made before, under the same key.
    Repeated(UsageEvent),
    /// It was not made.
    Refused(AdjustmentRefused),
}

/// Why an adjustment is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjustmentRefused {
    /// There is no such organisation.
    NoOrganization,
    /// The organisation has no such event.
    NoEvent,
    /// The key names another adjustment.
    KeyReused,
    /// The event does not cost what the plan of a re-rating says that it costs.
    OtherPrice {
        /// What it costs by now: its charge, and what earlier re-ratings added to it.
        rated: Credits,
    },
    /// The event was charged less than would have been given back for it in all.
    MoreThanCharged {
        /// What may still be given back for it.
        left: Credits,
    },
    /// What is used, and held or leased, would go over the limit.
    OverLimit {
        /// What may still be taken.
        remaining: Credits,
    },
    /// The organisation has as many grants as it may.
    TooManyGrants,
    /// The sums would leave 64 bits.
    OutOfRange,
}

impl AdjustmentRefused {
    /// What stands against adding `credits` where `used` is used and `taken` is held or leased besides; `None` where
    /// nothing does. Giving is never over a limit.
    pub fn of(credits: Credits, used: Credits, taken: Credits, limit: crate::Limit) -> Option<Self> {
        let sum = used.checked_add(taken).and_then(|sum| sum.checked_add(credits));
        if sum.is_none() || used.checked_add(credits).is_none() {
            return Some(Self::OutOfRange);
        }
        if credits.is_negative() {
            return None;
        }
        let remaining = limit.remaining(used.saturating_add(taken))?;
        (credits > remaining).then_some(Self::OverLimit { remaining })
    }
}

/// Adjustments, as a store keeps them.
#[async_trait]
pub trait Adjustments: Send + Sync + 'static {
    /// Makes an adjustment, once for its key: its event, what that adds up to and an audit entry, in one transaction in
    /// which nobody else moves the balance.
    async fn adjust(&self, new: &NewAdjustment, change: &Change) -> Result<Adjusted, StoreError>;

    /// What became of an adjustment whose key was used before: the same one repeated, or another one under its key.
    async fn adjusted(&self, new: &NewAdjustment) -> Result<Option<Adjusted>, StoreError>;

    /// The adjustments of an organisation, newest first, those older than the event `before` if one is given.
    async fn adjustments(
        &self,
        id: &OrganizationId,
        before: Option<UsageEventId>,
        limit: u32,
    ) -> Result<Vec<UsageEvent>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limit;

    #[test]
    fn what_may_be_taken_is_what_is_left_and_what_is_given_has_no_limit() {
        let whole = |credits| Credits::from_whole(credits).unwrap();
        let limit = |credits| Limit::Credits(whole(credits));
        let over = |remaining| Some(AdjustmentRefused::OverLimit { remaining: whole(remaining) });
        let micro = Credits::from_micros(1);
        let nearly = Credits::MAX.saturating_sub(whole(1));
        let cases = [
            ("all that is left", whole(40), whole(50), whole(10), limit(100), None),
            ("a millionth more", whole(40).saturating_add(micro), whole(50), whole(10), limit(100), over(40)),
            ("of nothing left", micro, whole(100), whole(0), limit(100), over(0)),
            ("over the limit already", micro, whole(130), whole(0), limit(100), over(0)),
            ("given while over the limit", whole(-5), whole(130), whole(9), limit(100), None),
            ("given down below zero", whole(-500), whole(1), whole(0), limit(100), None),
            ("taken from below zero", whole(120), whole(-20), whole(0), limit(100), None),
            ("without a limit", whole(1_000_000), whole(5), whole(5), Limit::Unlimited, None),
            ("up to 64 bits", whole(1), nearly, whole(0), Limit::Unlimited, None),
            ("past 64 bits", whole(2), nearly, whole(0), Limit::Unlimited, Some(AdjustmentRefused::OutOfRange)),
            (
                "down past 64 bits",
                whole(-2),
                Credits::from_micros(i64::MIN + 1),
                whole(0),
                limit(1),
                Some(AdjustmentRefused::OutOfRange),
            ),
        ];
        for (name, credits, used, taken, limit, want) in cases {
            assert_eq!(AdjustmentRefused::of(credits, used, taken, limit), want, "{name}");
        }
    }
}
