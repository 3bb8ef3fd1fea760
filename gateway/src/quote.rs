//! Step 4: the most that this call can cost.

use std::sync::Arc;

use ledger::{EventDefinition, EventType, OrganizationRecord, Signals};
use pricing::{Active, Call as PricedCall, Pricing, PricingError, Quote};
use refusal::Refusal;

use crate::authorize::Permit;
use crate::gateway::Gateway;
use crate::organizations::Organizations;
use crate::read::RequestBody;
use crate::routes::Route;
use crate::stop::Stop;

/// A price, and the plugin that set it and will settle it. Only this step makes one.
pub(crate) struct Quoted {
    pub(crate) quote: Quote,
    pub(crate) plugin: Arc<Active>,
    pub(crate) definition: Arc<EventDefinition>,
}

/// Asks the active plugin.
pub(crate) fn price(gateway: &Gateway, permit: &Permit, route: &Route, body: &RequestBody) -> Result<Quoted, Stop> {
    let Gateway { pricing, organizations, .. } = gateway;
    Ok(ask(pricing, organizations, permit.record(), &route.event_type, &body.extracted.signals)?)
}

/// Asks the plugin that sets this organisation's prices, for a call or for somebody who only wants to know.
pub(crate) fn ask(
    pricing: &Pricing,
    organizations: &Organizations,
    record: &OrganizationRecord,
    event_type: &EventType,
    signals: &Signals,
) -> Result<Quoted, Refusal> {
    let definition = organizations.definition(event_type).ok_or_else(|| {
        tracing::error!(%event_type, "a route's event type has no definition");
        Refusal::PricingUnavailable
    })?;
    let asked = PricedCall { definition: &definition, plan: &record.plan.plan, signals };
    let quoted = pricing.quote(&record.organization.organization_id, &asked);
    let (quote, plugin) = quoted.map_err(|error| match error {
        PricingError::Refused(why) => Refusal::PricingRefused(why),
        fault => {
            tracing::error!(cause = fault.cause(), %event_type, "the pricing plugin gave no quote");
            Refusal::PricingUnavailable
        }
    })?;
    Ok(Quoted { quote, plugin, definition })
}
