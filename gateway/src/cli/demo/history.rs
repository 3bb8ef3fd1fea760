//! Ten weeks of plausible calls, each priced by the plugin as it would have been.

use std::sync::Arc;

use ledger::{EventDefinition, Outcome, Period, PricedPlan, Signals, Timestamp, UsageEvent, UsageEventId};
use pricing::{Call, Plugin};
use store::Store;

use super::people::COMPANIES;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
const WEEKS: i64 = 10;
/// Calls of 10 credits each that leave Globex's free plan 10 of its 100.
const GLOBEX_CALLS: i64 = 9;
const EVENT_TYPES: [&str; 5] = [
    "structuring_diagnose",
    "structuring_generate_solution",
    "visuals_planning",
    "solutioning_ai_enhance",
    "solutioning_node_stack",
];

/// Writes the history of both organisations.
pub(super) async fn write(store: &dyn Store, plugin: &Plugin, now: Timestamp) -> anyhow::Result<()> {
    let definitions = store.event_definitions().await?;
    let definition = |name: &str| definitions.iter().find(|definition| definition.event_type.as_str() == name);
    let [acme, globex] = &COMPANIES;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut events = Vec::new();
    for day in 1..=WEEKS * 7 {
        let busy = if day % 7 < 2 { 2 } else { 9 };
        for _ in 0..=dice.below(busy) {
            let Some(definition) = definition(dice.one_of(&EVENT_TYPES)) else { continue };
            let at = now.plus_millis(-day * DAY_MS + i64::try_from(dice.below(10))? * HOUR_MS);
            let flags =
                if definition.features.is_empty() || dice.below(3) == 0 { Vec::new() } else { vec!["echo".to_owned()] };
            let signals =
                Signals { text_units: dice.below(2_500), item_count: 1, flags, body_bytes: 600, ..Signals::default() };
            let session = format!("session-{}", day / 3);
            events.push(event(plugin, acme.id, dice.one_of(&acme.people), definition, signals, at, Some(&session))?);
        }
    }
    // In this month, however young it is.
    let start = Period::of(now).start();
    let step = (now.millis() - start.millis()) / (GLOBEX_CALLS + 1);
    if let Some(definition) = definition("structuring_diagnose") {
        for number in 1..=GLOBEX_CALLS {
            let signals = Signals { text_units: 60, item_count: 1, body_bytes: 90, ..Signals::default() };
            let who = dice.one_of(&globex.people);
            events.push(event(plugin, globex.id, who, definition, signals, start.plus_millis(step * number), None)?);
        }
    }
    for batch in events.chunks(500) {
        store.apply(batch).await?;
    }
    Ok(())
}

fn event(
    plugin: &Plugin,
    organization: &str,
    user: &str,
    definition: &EventDefinition,
    signals: Signals,
    at: Timestamp,
    session: Option<&str>,
) -> anyhow::Result<UsageEvent> {
    let plan = "professional".parse()?;
    let quote = plugin.quote(&Call { definition, plan: &plan, signals: &signals })?;
    Ok(UsageEvent {
        id: UsageEventId::new(at),
        organization_id: organization.parse()?,
        user_id: user.parse()?,
        event_type: definition.event_type.clone(),
        event_name: definition.name.clone(),
        category: definition.category.clone(),
        definition_version: definition.version,
        occurred_at: at,
        settled_at: at.plus_millis(2_000),
        outcome: Outcome::Captured,
        credits: quote.credits,
        held: quote.credits,
        items: quote.items,
        plugin: Arc::clone(plugin.identity()),
        signals,
        plan: Some(PricedPlan { name: plan, version: 1 }),
        answer: None,
        session_id: session.map(str::parse).transpose()?,
        request_id: "req_demo".parse()?,
        endpoint: "/api/organizations/{orgId}/demo".into(),
        upstream_status: Some(200),
        adjustment: None,
    })
}

/// The same history every time: xorshift (Marsaglia, 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let length = u64::try_from(choices.len()).unwrap_or(1);
        let at = usize::try_from(self.below(length)).unwrap_or(0);
        choices.get(at).copied().unwrap_or_default()
    }
}
