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

/// Credits held for a call that may now go out. Settling consumes it; dropped, it is settled as its record in the journal
/// says. Only this step makes one.
pub(crate) struct OpenHold<'g> {
    pub(crate) hold: Unsettled<'g>,
    /// The event as it stands if the gateway dies now. It is large, and goes from step to step.
    pub(crate) event: Box<UsageEvent>,
    /// As they were when the hold was opened.
    terms: Terms,
    pub(crate) plan: PlanName,
    /// How the answer is read.
    pub(crate) reader: Arc<UsageReader>,
    pub(crate) quoted: Quoted,
}

/// A hold, in the book and in the journal. A call that ends by a bug leaves it: then both settle it as interrupted, now and
/// not at the next start.
pub(crate) struct Unsettled<'g> {
    gateway: &'g Gateway,
    id: UsageEventId,
    as_interrupted: Credits,
    hold: Option<Hold>,
}

impl Unsettled<'_> {
    /// The hold in the book, as long as it is not settled.
    pub(crate) fn held(&mut self) -> Option<&mut Hold> {
        self.hold.as_mut()
    }

    /// The hold in the book, for whoever settled it in the journal.
    pub(crate) fn settled(mut self) -> Option<Hold> {
        self.hold.take()
    }

    /// Leaves the journal's part to the journal, which could not settle it otherwise and will as soon as it can.
    pub(crate) fn interrupted(mut self) {
        if let Some(hold) = self.hold.take() {
            hold.interrupt(self.as_interrupted);
        }
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.gateway.journal.interrupt(self.id, self.gateway.clock.now());
            hold.interrupt(self.as_interrupted);
        }
    }
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

impl OpenHold<'_> {
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
pub(crate) async fn open<'g>(
    gateway: &'g Gateway,
    call: &mut Call,
    permit: Permit,
    quoted: Quoted,
    route: &Route,
    said: Extracted,
) -> Result<OpenHold<'g>, Stop> {
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
    let mut event = Box::new(UsageEvent {
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
    });
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
    let hold = Unsettled { gateway, id: event.id, as_interrupted: event.credits, hold: Some(hold) };
    Ok(OpenHold { hold, event, terms, plan, reader: Arc::clone(&route.reader), quoted })
}

fn refusal(refused: HoldRefused, period: Period) -> Refusal {
    if let HoldRefused::Amount(amount) = refused {
        tracing::error!(%amount, "a quote cannot be held");
    }
    Refusal::of_hold(refused, period.end())
}
