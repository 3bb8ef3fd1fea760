//! A recorded call, priced once more from what its event has stored: the same input has the same price, years later too.

use ledger::{AnswerSignals, EventDefinition, PlanName, UsageEvent};

use crate::error::PricingError;
use crate::plugin::{Call, CallOutcome, Plugin, Settled};

/// What a plugin would have charged for a recorded call, under the definition that it was priced by. An event of a version
/// that noted no answer is settled as one whose work is unknown, and one that noted no plan as `plan_unless_noted`.
pub fn rerate(
    plugin: &Plugin,
    event: &UsageEvent,
    definition: &EventDefinition,
    plan_unless_noted: &PlanName,
) -> Result<Settled, PricingError> {
    let plan = event.plan.as_ref().map_or(plan_unless_noted, |plan| &plan.name);
    let call = Call { definition, plan, signals: &event.signals };
    let quote = plugin.quote(&call)?;
    let noted = event.answer.clone();
    let AnswerSignals { response_bytes, complete, usage, .. } =
        noted.unwrap_or_else(|| AnswerSignals { complete: true, ..AnswerSignals::default() });
    let outcome = CallOutcome {
        status: event.upstream_status.unwrap_or(0),
        request_bytes: event.signals.body_bytes,
        response_bytes,
        complete,
        usage,
    };
    plugin.settle(&call, &quote, &outcome)
}
