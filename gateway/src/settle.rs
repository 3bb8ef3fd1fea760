//! Step 7: the hold becomes a charge or is given back, and the event is on disk before anyone is told.

use ledger::{AnswerSignals, BookSnapshot, ChargeItem, Credits, ModelUsage, Outcome, Period};
use pricing::{Call as PricedCall, CallOutcome, Settled, ShadowCall};
use refusal::Refusal;

use crate::call::{Call, Charge};
use crate::gateway::Gateway;
use crate::hold::OpenHold;
use crate::once;
use crate::rules::Settlement;
use crate::usage::Usage;

/// How a call ended at the backend.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// The backend's status; `None` where it gave none.
    pub(crate) status: Option<u16>,
    /// Bytes of the request's body.
    pub(crate) request_bytes: u64,
    /// Bytes of the answer's body, as far as it came.
    pub(crate) response_bytes: u64,
    /// Whether the answer was cut: it broke off after part of it had been passed on.
    pub(crate) cut: bool,
    /// Whether the backend ran out of time.
    pub(crate) timed_out: bool,
    /// What the answer says of the work.
    pub(crate) usage: ModelUsage,
}

impl Ending {
    /// Whether the answer came whole.
    fn is_complete(&self) -> bool {
        !self.cut && !self.timed_out
    }

    /// The same as a plugin is told it.
    fn outcome(&self) -> CallOutcome {
        CallOutcome {
            status: self.status.unwrap_or(0),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            complete: self.is_complete(),
            usage: self.usage.clone(),
        }
    }

    /// Whether the call is charged: 2xx is; the rest as `[settlement]` says.
    fn settlement(&self, gateway: &Gateway) -> Settlement {
        let policy = gateway.rules.load().settlement;
        match self.status {
            _ if self.timed_out => policy.timeout,
            // One that broke off before anything of it came did no work that anybody has.
            Some(200..=299) if self.cut && self.response_bytes == 0 => policy.server_error,
            Some(200..=299) if self.cut => policy.cut_stream,
            Some(200..=299) => Settlement::Capture,
            Some(400..=499) => policy.client_error,
            Some(500..=599) | None => policy.server_error,
            // An informational or redirecting answer did no work.
            Some(_) => Settlement::Void,
        }
    }
}

/// Settles a hold. Refused only where the event cannot be written down; then nothing is charged.
pub(crate) async fn settle(
    gateway: &Gateway,
    call: &mut Call,
    open: OpenHold<'_>,
    ending: Ending,
) -> Result<Usage, Refusal> {
    let charge = match ending.settlement(gateway) {
        Settlement::Capture => Some(price(&open, &ending)),
        Settlement::Void => None,
    };
    let terms = open.terms(gateway);
    let OpenHold { mut hold, mut event, quoted, plan, .. } = open;
    let period = Period::of(event.occurred_at);
    let secure = match hold.held().filter(|_| charge.is_some()) {
        Some(held) => gateway.books.secure(&event.organization_id, period, held).await,
        None => true,
    };
    if !secure {
        tracing::warn!(event = %event.id, "a call outlived its lease and there is no credit for it now: it is free");
    }
    let charge = charge.filter(|_| secure);
    event.settled_at = gateway.clock.now().max(event.occurred_at);
    event.upstream_status = ending.status;
    let shadow = gateway.pricing.shadow().map(|shadow| (shadow, ending.outcome()));
    event.answer = Some(AnswerSignals {
        response_bytes: ending.response_bytes,
        complete: ending.is_complete(),
        usage: ending.usage,
        estimated: charge.as_ref().is_some_and(|charged| charged.estimated),
    });
    (event.outcome, event.credits) = match &charge {
        Some(charged) => (Outcome::Captured, charged.credits),
        None => (Outcome::Voided, Credits::ZERO),
    };
    if let Some(items) = charge.and_then(|charged| charged.items) {
        event.items = items;
    }
    if let Err(error) = gateway.journal.settle(&event).await {
        tracing::error!(%error, event = %event.id, "a usage event cannot be written to the journal");
        // The journal settles it as if the process had died, as soon as it can.
        hold.interrupted();
        return Err(Refusal::JournalUnavailable);
    }
    let Some(hold) = hold.settled() else { unreachable!("nobody else settles it") };
    let book: BookSnapshot = match event.outcome {
        Outcome::Captured => hold.capture(event.credits),
        Outcome::Voided | Outcome::Interrupted | Outcome::Adjusted => hold.void(),
    };
    gateway.books.charged(&event.organization_id, period);
    gateway.metrics.settled(&event);
    if let Some((shadow, outcome)) = shadow {
        shadow.offer(ShadowCall {
            event: event.id,
            organization: event.organization_id.clone(),
            definition: quoted.definition,
            plan,
            signals: event.signals.clone(),
            outcome,
            charged: (event.outcome == Outcome::Captured).then_some(event.credits),
        });
    }
    once::settled(call, &event);
    call.charge = Some(Charge { event: event.id, outcome: event.outcome, credits: event.credits });
    Ok(Usage::new(&event, book, terms))
}

/// Gives a hold back without a trace: the backend never heard of the call.
pub(crate) async fn forget(gateway: &Gateway, call: &mut Call, open: OpenHold<'_>) {
    let OpenHold { hold, event, .. } = open;
    if let Err(error) = gateway.journal.forget(event.id).await {
        tracing::error!(%error, event = %event.id, "a hold cannot be struck from the journal");
    }
    once::forgotten(call);
    if let Some(hold) = hold.settled() {
        hold.void();
    }
}

/// What a call is charged.
struct Charged {
    credits: Credits,
    /// Item by item; `None` where that is as quoted.
    items: Option<Vec<ChargeItem>>,
    /// Whether it is the quote, because what the backend did is not known well enough.
    estimated: bool,
}

/// What the plugin that quoted the call makes of its ending. A plugin that fails now leaves its quote standing.
fn price(open: &OpenHold<'_>, ending: &Ending) -> Charged {
    let quote = &open.quoted.quote;
    let as_quoted = |estimated| Charged { credits: quote.credits, items: None, estimated };
    if open.plugin().settles_at_quote() {
        return as_quoted(false);
    }
    let call = PricedCall { definition: &open.quoted.definition, plan: &open.plan, signals: &open.event.signals };
    match open.plugin().settle(&call, quote, &ending.outcome()) {
        Ok(Settled { quote, estimated }) => Charged { credits: quote.credits, items: Some(quote.items), estimated },
        Err(error) => {
            tracing::error!(cause = error.cause(), event = %open.event.id, "the pricing plugin did not settle: its quote stands");
            as_quoted(true)
        }
    }
}
