//! Re-rating: recorded calls that another plugin prices otherwise, and an adjustment beside each that makes up the
//! difference. What was settled never changes.
//!
//! An adjustment is made only while the call costs what the plan says that it costs. So a plan that is applied again
//! changes nothing, and of two plans for the same calls only one is applied to each.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AdjustmentRefused, Change, ChargeItem, Credits, EventType, IdError, NewAdjustment, OrganizationId, PluginIdentity,
    RequestId, StoreError, UsageEvent, UsageEventId, UserId,
};

/// A recorded call that another plugin prices otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPrice {
    /// The call's event.
    pub event_id: UsageEventId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What was called.
    pub event_type: EventType,
    /// What it costs by now: its charge, and what earlier re-ratings added to it.
    pub charged: Credits,
    /// What it would cost.
    pub price: Credits,
    /// The latter less the former: below zero where credits are given back.
    pub difference: Credits,
}

/// What a re-rating is made by, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerating {
    /// The SHA-256 of the plan.
    pub plan: String,
    /// The plugin that set the new prices.
    pub plugin: PluginIdentity,
    /// The operator's words.
    pub reason: String,
    /// What asks for it, as logs name it.
    pub request_id: RequestId,
}

impl Rerating {
    /// How the key of every re-rating's adjustment begins. It has a blank, so that no client's key is like it.
    pub const KEY_PREFIX: &'static str = "re-rating ";
    /// The route of its events: there is none.
    pub const ENDPOINT: &'static str = "gateway plugin rerate";

    /// The key of the adjustment of an event: the same plan adjusts it once.
    pub fn key(&self, event: UsageEventId) -> String {
        format!("{}{} {event}", Self::KEY_PREFIX, self.plan)
    }

    /// The adjustment that makes up a difference, for the user who called.
    pub fn adjustment(
        &self,
        price: &NewPrice,
        user_id: Option<UserId>,
        change: &Change,
    ) -> Result<(NewAdjustment, UsageEvent), IdError> {
        let new = NewAdjustment {
            organization_id: price.organization_id.clone(),
            key: self.key(price.event_id),
            credits: price.difference,
            reason: self.reason.clone(),
            adjusts: Some(price.event_id),
            user_id,
            expires_at: None,
            request_id: self.request_id.clone(),
            endpoint: Self::ENDPOINT,
        };
        let mut event = new.event(change, None)?;
        event.plugin = self.plugin.clone().into();
        let given_back = Credits::ZERO.saturating_sub(price.charged);
        event.items = vec![
            ChargeItem { label: "charged before".to_owned(), credits: given_back },
            ChargeItem { label: "new price".to_owned(), credits: price.price },
        ];
        Ok((new, event))
    }
}

/// What became of a new price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rerated {
    /// The difference was made up.
    Made,
    /// It had been before, by the same plan.
    Repeated,
    /// It was not.
    Refused(AdjustmentRefused),
}

/// Re-ratings, as a store keeps them.
#[async_trait]
pub trait Reratings: Send + Sync + 'static {
    /// Makes up the differences of some calls, each once for its plan: the adjustments, what they add up to and an audit
    /// entry an organisation, in one transaction. Within an organisation what is given comes before what is taken. Answers
    /// what became of each, in their order.
    async fn rerate(&self, by: &Rerating, prices: &[NewPrice], change: &Change) -> Result<Vec<Rerated>, StoreError>;

    /// What earlier re-ratings added to the calls from `first` to `last`, both in; those without any are left out.
    async fn rerated(
        &self,
        first: UsageEventId,
        last: UsageEventId,
    ) -> Result<Vec<(UsageEventId, Credits)>, StoreError>;
}
