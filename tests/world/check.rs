//! What every world checks of itself at its end: the promises that hold whatever a journey did.

use std::collections::{BTreeMap, HashMap};

use ledger::Credits;
use serde_json::Value;

use super::{World, until};

/// Members whose account is not the sum of their events.
const WRONG_MEMBERS: &str = "SELECT COUNT(*)::text FROM member_balances m WHERE m.used_micros <> (
    SELECT COALESCE(SUM(e.credits_micros), 0) FROM usage_events e
    WHERE e.organization_id = m.organization_id AND e.user_id = m.user_id AND e.occurred_at_ms >= m.period_start_ms
    AND e.occurred_at_ms < extract(epoch FROM date_trunc('month', to_timestamp(m.period_start_ms / 1000) AT TIME ZONE 'UTC')
        + interval '1 month') * 1000)";

impl World {
    /// Checks the promises and stops the gateway.
    pub(crate) async fn end(mut self) {
        self.ended = true;
        let organizations = self.organizations.lock().clone();
        let mut ids: HashMap<String, usize> = HashMap::new();
        let mut calls = 0;
        for organization in &organizations {
            for gateway in 0..self.gateways() {
                self.no_hold_is_left(gateway, organization).await;
            }
            for event in self.sums_agree(organization).await {
                calls += usize::from(event["outcome"] != "adjusted");
                *ids.entry(event["id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        assert!(ids.values().all(|times| *times == 1), "an event stands twice");
        for seen in self.seen.lock().iter() {
            assert!(ids.contains_key(seen), "a client saw {seen}, which is in no history");
        }
        assert_eq!(calls, self.backend.calls() + self.strange_calls, "events, and calls that the backend received");
        for running in self.others.drain(..).chain(self.running.take()) {
            running.stop().await;
        }
        if let Some(database) = &self.database {
            let wrong = database.ask(WRONG_MEMBERS).await.unwrap();
            assert_eq!(wrong, "0", "what members used is not what their events add up to");
        }
    }

    /// Once the charges of this gateway have arrived.
    async fn no_hold_is_left(&self, gateway: usize, organization: &str) {
        until("no hold is left", || async {
            let counter = self.counter_through(gateway, organization).await;
            counter["held"] == 0 && counter["calls"]["held"] == 0
        })
        .await;
    }

    /// Checks that history, dashboard and counter say the same, and returns all events.
    async fn sums_agree(&self, organization: &str) -> Vec<Value> {
        let events = self.whole_history(organization).await;
        let counter = self.counter(organization).await;
        let present = counter["period"].as_str().unwrap().to_owned();
        let mut months: BTreeMap<String, Sums> = BTreeMap::from([(present.clone(), Sums::default())]);
        for event in &events {
            let month = event["createdAt"].as_str().unwrap()[..7].to_owned();
            let sums = months.entry(month).or_default();
            let charged = credits(&event["creditsConsumed"]);
            assert!(charged == 0 || event["outcome"] != "voided", "{event}");
            sums.credits += charged;
            sums.events += 1;
            *sums.users.entry(event["user"]["id"].as_str().unwrap().to_owned()).or_default() += charged;
            *sums.types.entry(event["eventType"].as_str().unwrap().to_owned()).or_default() += charged;
            *sums.days.entry(event["createdAt"].as_str().unwrap()[..10].to_owned()).or_default() += charged;
        }
        assert_eq!(credits(&counter["used"]), months[&present].credits, "{organization}: counter and history");
        for (month, sums) in months {
            let dashboard = self.owned(organization, &format!("/dashboard?month={month}")).await["dashboard"].take();
            assert_eq!(credits(&dashboard["overview"]["usedCredits"]), sums.credits, "{organization} {month}");
            assert_eq!(dashboard["events"]["totalEvents"], sums.events, "{organization} {month}");
            assert_eq!(shares(&dashboard["users"]["breakdown"]), sums.users, "{organization} {month}");
            assert_eq!(shares(&dashboard["events"]["breakdown"]), sums.types, "{organization} {month}");
            let daily = dashboard["analytics"]["dailyUsage"].as_array().unwrap();
            let daily = daily.iter().filter(|day| day["count"] != 0);
            let daily: BTreeMap<_, _> =
                daily.map(|day| (day["date"].as_str().unwrap().to_owned(), credits(&day["credits"]))).collect();
            assert_eq!(daily, sums.days, "{organization} {month}");
        }
        events
    }

    async fn whole_history(&self, organization: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for page in 1.. {
            let mut answer = self.owned(organization, &format!("/history?limit=100&page={page}")).await;
            let events: Vec<Value> = serde_json::from_value(answer["events"].take()).unwrap();
            all.extend(events);
            if answer["pagination"]["hasNext"] == false {
                assert_eq!(answer["summary"]["totalEvents"], all.len(), "{organization}");
                let sum: i64 = all.iter().map(|event| credits(&event["creditsConsumed"])).sum();
                assert_eq!(credits(&answer["summary"]["totalCredits"]), sum, "{organization}");
                break;
            }
        }
        all
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(self.ended || std::thread::panicking(), "a journey did not end its world");
    }
}

#[derive(Default)]
struct Sums {
    credits: i64,
    events: usize,
    users: BTreeMap<String, i64>,
    types: BTreeMap<String, i64>,
    days: BTreeMap<String, i64>,
}

fn shares(breakdown: &Value) -> BTreeMap<String, i64> {
    let shares = breakdown.as_object().unwrap().iter();
    shares.map(|(name, share)| (name.clone(), credits(&share["credits"]))).collect()
}

/// A JSON amount in millionths.
fn credits(amount: &Value) -> i64 {
    amount.to_string().parse::<Credits>().unwrap_or_else(|why| panic!("{amount}: {why}")).micros()
}
