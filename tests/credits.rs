//! Credits: never one too many, never refused while they are there, and what operators change holds for the next call.

use futures_util::future::join_all;
use serde_json::json;

use crate::world::{Answer, Gate, OPERATOR, OWNER, On, World, on_each_database};

on_each_database! {
    of_500_calls_at_once_exactly_the_20_that_are_paid_for_go_out,
    credit_that_a_failed_call_gives_back_is_there_for_the_next,
    a_month_ends_at_its_last_instant_and_not_before,
    what_is_changed_holds_for_the_next_call,
    a_plans_calls_are_counted_too,
    a_changed_limit_is_written_in_the_audit_trail,
}

async fn of_500_calls_at_once_exactly_the_20_that_are_paid_for_go_out(on: On) {
    for has_called in [true, false] {
        let world = World::start_on(on).await;
        if has_called {
            world.limit("acme", 10).await;
            assert_eq!(world.call("acme", "ann").await.status, 200);
        }
        let before = world.backend.calls();
        world.limit("acme", 200 + if has_called { 10 } else { 0 }).await;
        let gate = Gate::new();
        world.backend.answers(Answer::default().held_by(&gate));
        let calling = join_all((0..500).map(|_| world.call("acme", "ann")));
        let looking = async {
            world.backend.has_calls(before + 20).await;
            let counter = world.counter("acme").await;
            assert_eq!((&counter["held"], &counter["available"]), (&json!(200), &json!(0)));
            gate.open();
        };
        let (answers, ()) = tokio::join!(calling, looking);
        let paid = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((paid, world.backend.calls() - before), (20, 20));
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(refused.refusal(), (402, "credit_limit_exceeded".to_owned()));
        }
        assert_eq!(world.counter("acme").await["remaining"], 0);
        world.end().await;
    }
}

async fn credit_that_a_failed_call_gives_back_is_there_for_the_next(on: On) {
    let world = World::start_on(on).await;
    world.limit("acme", 10).await;
    world.backend.answers(Answer::with("503 Busy", "", ""));
    for _ in 0..3 {
        let answer = world.call("acme", "ann").await;
        assert_eq!((answer.status, answer.usage_headers().2), (503, "10"));
    }
    world.backend.answers(Answer::default());
    assert_eq!(world.call("acme", "ann").await.usage_headers().2, "0");
    assert_eq!(world.call("acme", "ann").await.refusal().0, 402);
    world.end().await;
}

async fn a_month_ends_at_its_last_instant_and_not_before(on: On) {
    let world = World::start_on(on).await;
    world.limit("acme", 10).await;
    world.at("2026-11-30T23:59:59.999Z");
    assert_eq!(world.call("acme", "ann").await.usage_headers().2, "0");
    assert_eq!(world.call("acme", "ann").await.refusal().0, 402);
    world.at("2026-12-01T00:00:00Z");
    // One that is on its way over the month's end belongs to the month in which it began.
    let gate = Gate::new();
    world.at("2026-11-30T23:59:59.999Z");
    world.limit("acme", 20).await;
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    world.backend.has_calls(2).await;
    world.at("2026-12-01T00:00:00Z");
    gate.open();
    assert_eq!(request.answer(&mut connection).await.usage_headers().2, "0");
    let counter = world.counter("acme").await;
    assert_eq!((&counter["period"], &counter["used"]), (&json!("2026-12"), &json!(0)));
    assert_eq!(counter["resetsAt"], "2027-01-01T00:00:00.000Z");
    for left in ["10", "0"] {
        assert_eq!(world.call("acme", "ann").await.usage_headers().2, left);
    }
    assert_eq!(world.call("acme", "ann").await.refusal().0, 402);
    let november = world.owned("acme", "/dashboard?month=2026-11").await;
    assert_eq!(november["dashboard"]["overview"]["usedCredits"], 20);
    world.end().await;
}

async fn what_is_changed_holds_for_the_next_call(on: On) {
    let world = World::start_on(on).await;
    let limits = |credits: i64| json!({"usageLimits": {"monthlyCredits": credits}});
    let management = "/api/organizations/acme/usage/management";
    for (credits, want) in [(10, 200), (10, 402), (20, 200), (15, 402), (-1, 200), (0, 402), (5_000, 200)] {
        assert_eq!(world.put(management, OWNER, &limits(credits)).await.status, 200);
        assert_eq!(world.call("acme", "ann").await.status, want, "{credits}");
    }
    assert_eq!(world.put(management, OWNER, &limits(-1)).await.status, 200);
    assert_eq!(world.call("acme", "ann").await.usage_headers().2, "-1");
    // Back to what the plan says: free is 100, of which 50 are used.
    world.organization("acme", json!({"plan": "free", "usageLimits": null})).await;
    assert_eq!(world.call("acme", "ann").await.usage_headers().2, "40");
    assert_eq!(world.put("/api/admin/plans/free", OPERATOR, &json!({"monthlyCredits": 60})).await.status, 200);
    assert_eq!(world.call("acme", "ann").await.refusal().0, 402);
    assert_eq!(world.put("/api/admin/plans/free", OPERATOR, &json!({"monthlyCredits": 1_000})).await.status, 200);
    // A call costs what its definition says when it is quoted, and keeps that.
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    world.backend.has_calls(7).await;
    let definition = "/api/admin/event-definitions/structuring_diagnose";
    assert_eq!(world.put(definition, OPERATOR, &json!({"baseCredits": 7})).await.status, 200);
    gate.open();
    assert_eq!(request.answer(&mut connection).await.usage_headers().1, "10");
    assert_eq!(world.call("acme", "ann").await.usage_headers().1, "7");
    // Who is no member any more does not call any more.
    let member = "/api/admin/organizations/acme/members/ann";
    let removed = world.request("DELETE", member).by(&world.credential(OPERATOR)).send().await;
    assert_eq!((removed.status, &removed.json()["removed"]), (200, &json!(true)));
    assert_eq!(world.call("acme", "ann").await.refusal().0, 403);
    world.member("acme", "ann", "viewer").await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.end().await;
}

async fn a_plans_calls_are_counted_too(on: On) {
    let world = World::start_on(on).await;
    world.organization("acme", json!({"plan": "free", "usageLimits": {"aiCallsPerMonth": 2}})).await;
    world.backend.answers(Answer::with("500 Oops", "", ""));
    assert_eq!(world.call("acme", "ann").await.status, 500);
    world.backend.answers(Answer::default());
    let gate = Gate::new();
    assert_eq!(world.call("acme", "ann").await.status, 200);
    // One that is on its way counts.
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    world.backend.has_calls(3).await;
    let refused = world.call("acme", "ann").await;
    assert_eq!(refused.refusal(), (402, "call_limit_exceeded".to_owned()));
    assert_eq!(
        (&refused.json()["callLimit"], &refused.json()["resetsAt"]),
        (&json!(2), &json!("2026-12-01T00:00:00.000Z"))
    );
    gate.open();
    assert_eq!(request.answer(&mut connection).await.status, 200);
    world.at("2026-12-01T00:00:00Z");
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.end().await;
}

async fn a_changed_limit_is_written_in_the_audit_trail(on: On) {
    let world = World::start_on(on).await;
    let body = json!({"usageLimits": {"monthlyCredits": 50}});
    assert_eq!(world.put("/api/organizations/acme/usage/management", OWNER, &body).await.status, 200);
    for body in [
        json!({"usageLimits": {"monthlyCredits": -2}}),
        json!({"usageLimit": {}}),
        json!({"alertThresholds": {"warning": 101}}),
    ] {
        let answer = world.put("/api/organizations/acme/usage/management", OWNER, &body).await;
        assert_eq!(answer.refusal().0, 400, "{body}");
    }
    let audit = world.owned("acme", "/audit").await;
    let newest = audit["entries"][0].to_string();
    assert!(newest.contains(OWNER) && newest.contains("50") && newest.contains("127.0.0.1"), "{audit}");
    world.end().await;
}
