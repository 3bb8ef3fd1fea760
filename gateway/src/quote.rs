//! Step 4: the most that this call can cost.

use std::sync::Arc;

use ledger::EventDefinition;
use pricing::{Active, Call as PricedCall, PricingError, Quote};
use refusal::Refusal;

use crate::authorize::Permit;
use crate::gateway::Gateway;
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
    let definition = gateway.organizations.definition(&route.event_type).ok_or_else(|| {
        tracing::error!(event_type = %route.event_type, "a route's event type has no definition");
        Refusal::PricingUnavailable
    })?;
    let plugin = gateway.pricing.current();
    let plan = &permit.record().plan.plan;
    let asked = PricedCall { definition: &definition, plan, signals: &body.extracted.signals };
    let quote = plugin.quote(&asked).map_err(|error| match error {
        PricingError::Refused(why) => Refusal::PricingRefused(why),
        fault => {
            tracing::error!(cause = fault.cause(), event_type = %route.event_type, "the pricing plugin gave no quote");
            Refusal::PricingUnavailable
        }
    })?;
    Ok(Quoted { quote, plugin, definition })
}
