//! Several gateways on one PostgreSQL: together they never spend more than the limit, and leave no credit lying.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::world::{Answer, Answered, Gate, OPERATOR, World, until};

/// How soon a change made through one gateway is in force at the others.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(1);

fn is_paid(answer: &Answered) -> bool {
    answer.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn of_500_calls_at_once_over_the_gateways_exactly_the_20_that_are_paid_for_go_out() {
    for gateways in [2, 3] {
        let world = World::with_gateways(gateways, &[]).await;
        for round in 0..4 {
            let organization = format!("new-{round}");
            world.limit(&organization, 200).await;
            world.member(&organization, "ann", "member").await;
            let before = world.backend.calls();
            let answers = join_all((0..500).map(|call| world.call_through(call, &organization, "ann"))).await;
            let paid = answers.iter().filter(|answer| is_paid(answer)).count();
            assert_eq!((paid, world.backend.calls() - before), (20, 20), "{gateways} gateways, round {round}");
            for refused in answers.iter().filter(|answer| !is_paid(answer)) {
                assert_eq!(refused.refusal(), (402, "credit_limit_exceeded".to_owned()));
            }
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_calls_in_turn_use_the_balance_to_its_last_credit_and_say_what_is_left_of_it() {
    for gateways in [2, 3] {
        let world = World::with_gateways(gateways, &[]).await;
        world.limit("acme", 220).await;
        for call in 1..=22 {
            let answer = world.call_through(call, "acme", "ann").await;
            assert_eq!(answer.status, 200, "call {call}: {}", answer.text());
            let left = 220 - 10 * call;
            assert_eq!(answer.usage_headers().2, left.to_string(), "call {call} over {gateways} gateways");
            assert_eq!(answer.json()["usage"]["remainingCredits"], left);
            // The others hear of it within milliseconds, long before it is applied.
            until("all gateways know what is left", async || {
                let mut all = true;
                for gateway in 0..gateways {
                    all &= world.counter_through(gateway, "acme").await["remaining"] == left;
                }
                all
            })
            .await;
        }
        for gateway in 0..gateways {
            let refused = world.call_through(gateway, "acme", "ann").await;
            assert_eq!(refused.refusal(), (402, "credit_limit_exceeded".to_owned()));
            assert_eq!(refused.json()["remainingCredits"], 0);
        }
        assert_eq!(world.backend.calls(), 22);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_others_charged_is_known_by_the_time_a_model_has_answered() {
    const THINKS_FOR: Duration = Duration::from_millis(300);
    let world = World::with_gateways(3, &[]).await;
    for call in 1..=9 {
        let gate = Gate::new();
        world.backend.answers(Answer::default().held_by(&gate));
        let thinking = async {
            tokio::time::sleep(THINKS_FOR).await;
            gate.open();
        };
        let (answer, ()) = tokio::join!(world.call_through(call, "acme", "ann"), thinking);
        assert_eq!(answer.usage_headers().2, (5_000 - 10 * call).to_string(), "call {call}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_everywhere_leave_all_credit_to_whoever_comes_next() {
    let world = World::with_gateways(3, &[]).await;
    world.limit("acme", 30).await;
    world.backend.answers(Answer::with("503 Busy", "", ""));
    for call in 0..6 {
        let answer = world.call_through(call, "acme", "ann").await;
        assert_eq!((answer.status, answer.usage_headers().2), (503, "30"));
    }
    world.backend.answers(Answer::default());
    for call in 0..3 {
        assert_eq!(world.call_through(call + 1, "acme", "ann").await.status, 200, "call {call}");
    }
    assert_eq!(world.call_through(1, "acme", "ann").await.refusal().0, 402);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_raised_or_lowered_holds_everywhere_within_a_second() {
    let world = World::with_gateways(3, &[]).await;
    world.limit("acme", 1_000).await;
    for call in 0..6 {
        assert_eq!(world.call_through(call, "acme", "ann").await.status, 200);
    }
    for (limit, more) in [(60, 0), (80, 2), (75, 0), (110, 3)] {
        world.limit("acme", limit).await;
        tokio::time::sleep(IN_FORCE_WITHIN).await;
        let before = world.backend.calls();
        let answers = join_all((0..12).map(|call| world.call_through(call, "acme", "ann"))).await;
        let paid = answers.iter().filter(|answer| is_paid(answer)).count();
        assert_eq!((paid, world.backend.calls() - before), (more, more), "a limit of {limit}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_through_one_gateway_holds_at_the_others_within_a_second() {
    let world = World::with_gateways(3, &[]).await;
    // Everybody has the organisation in memory.
    for gateway in 0..3 {
        assert_eq!(world.call_through(gateway, "acme", "ann").await.status, 200);
        assert_eq!(world.call_through(gateway, "acme", "bob").await.refusal().0, 403);
    }
    let everywhere = async |what: &str, user: &str, as_wanted: &dyn Fn(&Answered) -> bool| {
        let began = Instant::now();
        for gateway in 0..3 {
            until(what, async || as_wanted(&world.call_through(gateway, "acme", user).await)).await;
        }
        // A busy machine is slow in calling, too.
        assert!(began.elapsed() < IN_FORCE_WITHIN * 2, "{what}: {:?}", began.elapsed());
    };
    world.member("acme", "bob", "member").await;
    everywhere("bob is a member", "bob", &is_paid).await;
    let bob = "/api/admin/organizations/acme/members/bob";
    assert_eq!(world.request("DELETE", bob).by(&world.credential(OPERATOR)).send().await.status, 200);
    everywhere("bob is none", "bob", &|answer| answer.status == 403).await;
    let path = "/api/admin/event-definitions/structuring_diagnose";
    let changed = world.put(path, OPERATOR, &json!({"baseCredits": 17})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    everywhere("a call is dearer", "ann", &|answer| answer.usage_headers().1 == "17").await;
    world.organization("acme", json!({"plan": "professional", "subscriptionStatus": "past_due"})).await;
    everywhere("members are not served", "ann", &|answer| answer.status == 402).await;
    world.organization("acme", json!({"plan": "professional"})).await;
    everywhere("members are served", "ann", &is_paid).await;
    let changed = world.put("/api/admin/plans/professional", OPERATOR, &json!({"monthlyCredits": 20})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    everywhere("the plan gives less", "ann", &|answer| answer.status == 402).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_months_end_under_load_each_event_is_in_exactly_one_period() {
    let world = World::with_gateways(3, &[]).await;
    world.limit("acme", 200).await;
    world.at("2026-11-30T23:59:59.999Z");
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let refused = AtomicUsize::new(0);
    let november = join_all((0..30).map(async |call| {
        let answer = world.call_through(call, "acme", "ann").await;
        refused.fetch_add(usize::from(!is_paid(&answer)), Ordering::SeqCst);
        answer
    }));
    let later = async {
        world.backend.has_calls(20).await;
        // The others were all taken in before the month's end.
        until("ten are refused", async || refused.load(Ordering::SeqCst) == 10).await;
        world.at("2026-12-01T00:00:00Z");
        let december = join_all((0..30).map(|call| world.call_through(call, "acme", "ann")));
        let open = async {
            world.backend.has_calls(40).await;
            gate.open();
        };
        tokio::join!(december, open).0
    };
    let (november, december) = tokio::join!(november, later);
    for (month, answers) in [("2026-11", november), ("2026-12", december)] {
        assert_eq!(answers.iter().filter(|answer| is_paid(answer)).count(), 20, "{month}");
        for gateway in 0..3 {
            world.counter_through(gateway, "acme").await;
        }
        let dashboard = world.owned("acme", &format!("/dashboard?month={month}")).await["dashboard"].take();
        assert_eq!(
            (&dashboard["overview"]["usedCredits"], &dashboard["events"]["totalEvents"]),
            (&json!(200), &json!(20))
        );
    }
    world.end().await;
}
