//! Step 5: the quote, set aside in the book and written to the journal before the backend hears of the call.

use std::sync::Arc;

use ledger::{
    Credits, Grant, Hold, HoldRefused, OrganizationRecord, Outcome, Period, PlanName, PricedPlan, Spender, UsageEvent,
    UsageEventId,
};
use payload::signals::Extracted;
use payload::usage::UsageReader;
use pricing::Active;
use refusal::Refusal;

use crate::authorize::Permit;
use crate::books::NotHeld;
use crate::call::Call;
use crate::gateway::Gateway;
use crate::once::{self, Claim};
use crate::quote::Quoted;
use crate::routes::Route;
use crate::rules::Settlement;
use crate::stop::Stop;

/// Credits held for a call that may now go out. Settling consumes it; dropped, it voids itself. Only this step makes one.
pub(crate) struct OpenHold {
    pub(crate) hold: Hold,
    /// The event as it stands if the gateway dies now.
    pub(crate) event: UsageEvent,
    /// As they were when the hold was opened.
    terms: Terms,
    pub(crate) plan: PlanName,
    /// How the answer is read.
    pub(crate) reader: Arc<UsageReader>,
    pub(crate) quoted: Quoted,
}

/// What an organisation's figures are compared with.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) grant: Grant,
    /// Percent of the limit at which the client is warned.
    pub(crate) warning_percent: u8,
}

impl Terms {
    fn of(record: &OrganizationRecord) -> Self {
        Self { grant: record.grant(), warning_percent: record.organization.alert_thresholds.warning }
    }
}

impl OpenHold {
    pub(crate) fn plugin(&self) -> &Arc<Active> {
        &self.quoted.plugin
    }

    /// The organisation's terms as they are now: they may have changed while the backend worked. One that is no longer in
    /// memory keeps those of the hold, since nothing is read from the database here.
    pub(crate) fn terms(&self, gateway: &Gateway) -> Terms {
        gateway.organizations.known(&self.event.organization_id).map_or(self.terms, |record| Terms::of(&record))
    }
}

/// Holds the quote if the period's grant allows it.
pub(crate) async fn open(
    gateway: &Gateway,
    call: &mut Call,
    permit: Permit,
    quoted: Quoted,
    route: &Route,
    said: Extracted,
) -> Result<OpenHold, Stop> {
    if gateway.is_shutting_down() {
        return Err(Refusal::ShuttingDown.into());
    }
    // A call with a key has its event's id, and so its time, already.
    let id = call.once.as_ref().map_or_else(|| UsageEventId::new(gateway.clock.now()), Claim::event);
    let now = id.moment().unwrap_or_else(|| gateway.clock.now());
    let period = Period::of(now);
    let (organization, plan) = (&permit.record().organization, &permit.record().plan);
    let (grant, credits) = (permit.record().grant(), quoted.quote.credits);
    let member = permit.member();
    let by = Spender { user_id: member.user_id.clone(), limit: permit.record().member_limit(member) };
    let opened = gateway.books.open(&organization.organization_id, period, Some(&by), credits, grant).await;
    let hold = opened.map_err(|not_held| match not_held {
        NotHeld::Refused(refused) => refusal(refused, period),
        NotHeld::Unknown(error) => {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "a balance cannot be read");
            Refusal::StoreUnavailable
        }
    })?;
    let mut event = UsageEvent {
        id,
        organization_id: organization.organization_id.clone(),
        user_id: by.user_id,
        event_type: route.event_type.clone(),
        event_name: quoted.definition.name.clone(),
        category: quoted.definition.category.clone(),
        definition_version: quoted.definition.version,
        occurred_at: now,
        settled_at: now,
        outcome: Outcome::Interrupted,
        credits: Credits::ZERO,
        held: quoted.quote.credits,
        items: quoted.quote.items.clone(),
        plugin: Arc::clone(quoted.plugin.identity()),
        signals: said.signals,
        answer: None,
        session_id: said.session,
        request_id: call.request_id.clone(),
        endpoint: Arc::clone(&route.path),
        upstream_status: None,
        plan: Some(PricedPlan { name: plan.plan.clone(), version: plan.version }),
        adjustment: None,
    };
    if gateway.rules.load().settlement.interrupted == Settlement::Capture {
        event.credits = event.held;
    }
    gateway.journal.open_hold(&event).await.map_err(|error| {
        tracing::error!(%error, "a hold cannot be written to the journal");
        Refusal::JournalUnavailable
    })?;
    once::journaled(call);
    let terms = Terms::of(permit.record());
    let plan = plan.plan.clone();
    Ok(OpenHold { hold, event, terms, plan, reader: Arc::clone(&route.reader), quoted })
}

fn refusal(refused: HoldRefused, period: Period) -> Refusal {
    if let HoldRefused::Amount(amount) = refused {
        tracing::error!(%amount, "a quote cannot be held");
    }
    Refusal::of_hold(refused, period.end())
}
