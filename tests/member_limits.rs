//! What a member may spend in a month: beside the organisation's limit, in the same step.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Answer, Gate, OPERATOR, OWNER, On, World, on_each_database, until};

on_each_database! {
    of_500_calls_of_a_user_at_once_exactly_the_20_that_the_user_may_make_go_out,
    a_limit_set_in_the_middle_of_a_month_counts_what_was_spent_before,
    a_members_own_limit_stands_before_that_for_each_member,
    an_adjustment_for_a_user_is_room_for_that_user,
}

const MANAGEMENT: &str = "/api/organizations/acme/usage/management";

/// Sets what Ann may spend; null is as the organisation says for each member.
async fn limit(world: &World, credits: &Value) {
    let body = json!({"role": "member", "monthlyCredits": credits});
    let put = world.put("/api/admin/organizations/acme/members/ann", OPERATOR, &body).await;
    assert_eq!((put.status, &put.json()["member"]["monthlyCredits"]), (200, credits));
}

async fn of_500_calls_of_a_user_at_once_exactly_the_20_that_the_user_may_make_go_out(on: On) {
    for has_called in [true, false] {
        let world = World::start_on(on).await;
        world.member("acme", "bob", "member").await;
        if has_called {
            assert_eq!(world.call("acme", "ann").await.status, 200);
        }
        let before = world.backend.calls();
        limit(&world, &json!(200 + if has_called { 10 } else { 0 })).await;
        let gate = Gate::new();
        world.backend.answers(Answer::default().held_by(&gate));
        let calling = join_all((0..500).map(|_| world.call("acme", "ann")));
        let looking = async {
            world.backend.has_calls(before + 20).await;
            // The organisation has credit for others.
            let bob = world.diagnosis("acme", "bob").json(&json!({"content": ["short"]}));
            let mut connection = bob.start().await;
            world.backend.has_calls(before + 21).await;
            gate.open();
            assert_eq!(bob.answer(&mut connection).await.status, 200);
        };
        let (answers, ()) = tokio::join!(calling, looking);
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 20);
        assert_eq!(world.backend.calls() - before, 21);
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(refused.refusal(), (402, "user_limit_exceeded".to_owned()));
            let body = refused.json();
            assert_eq!((&body["remainingCredits"], &body["creditsNeeded"]), (&json!(0), &json!(10)));
            assert_eq!(body["resetsAt"], "2026-12-01T00:00:00.000Z");
        }
        world.at("2026-12-01T00:00:00Z");
        assert_eq!(world.call("acme", "ann").await.status, 200);
        world.end().await;
    }
}

async fn a_limit_set_in_the_middle_of_a_month_counts_what_was_spent_before(on: On) {
    let mut world = World::start_on(on).await;
    for _ in 0..3 {
        assert_eq!(world.call("acme", "ann").await.status, 200);
    }
    limit(&world, &json!(45)).await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    let refused = world.call("acme", "ann").await;
    assert_eq!((refused.refusal().1.as_str(), &refused.json()["remainingCredits"]), ("user_limit_exceeded", &json!(5)));
    let own = world.get("/api/organizations/acme/usage/me", "ann").await.json()["usage"].take();
    assert_eq!(
        (&own["usedCredits"], &own["monthlyLimit"], &own["remainingCredits"]),
        (&json!(40), &json!(45), &json!(5))
    );
    world.restart().await;
    assert_eq!(world.call("acme", "ann").await.refusal().1, "user_limit_exceeded");
    limit(&world, &json!(50)).await;
    // A call that fails gives back to both.
    world.backend.answers(Answer::with("500 Oops", "", ""));
    assert_eq!(world.call("acme", "ann").await.status, 500);
    world.backend.answers(Answer::default());
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.call("acme", "ann").await.refusal().1, "user_limit_exceeded");
    world.end().await;
}

async fn a_members_own_limit_stands_before_that_for_each_member(on: On) {
    let world = World::start_on(on).await;
    for wrong in [json!(-2), json!("5"), json!(0.000_000_1)] {
        let body = json!({"role": "member", "monthlyCredits": wrong});
        let put = world.put("/api/admin/organizations/acme/members/ann", OPERATOR, &body).await;
        assert_eq!(put.refusal(), (400, "invalid_request".to_owned()), "{wrong}");
    }
    let each = json!({"usageLimits": {"memberMonthlyCredits": 10}});
    let managed = world.put(MANAGEMENT, OWNER, &each).await;
    assert_eq!(managed.json()["management"]["limits"]["memberMonthlyCredits"], 10);
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.call("acme", "ann").await.refusal().1, "user_limit_exceeded");
    assert_eq!(world.call("acme", OWNER).await.status, 200, "each has their own");
    limit(&world, &json!(20)).await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.call("acme", "ann").await.refusal().1, "user_limit_exceeded");
    limit(&world, &json!(-1)).await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    limit(&world, &json!(null)).await;
    assert_eq!(world.call("acme", "ann").await.refusal().1, "user_limit_exceeded");
    limit(&world, &json!(0)).await;
    assert_eq!(world.put(MANAGEMENT, OWNER, &json!({"usageLimits": null})).await.status, 200);
    assert_eq!(world.call("acme", "ann").await.refusal().1, "user_limit_exceeded");
    world.end().await;
}

async fn an_adjustment_for_a_user_is_room_for_that_user(on: On) {
    let world = World::start_on(on).await;
    limit(&world, &json!(10)).await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    assert_eq!(world.call("acme", "ann").await.refusal().1, "user_limit_exceeded");
    let body = json!({"direction": "give", "credits": 10, "reason": "the answer was empty", "userId": "ann"});
    assert_eq!(world.post("/api/admin/organizations/acme/adjustments", "k", &body).await.status, 200);
    until("Ann may call again", || async { world.call("acme", "ann").await.status == 200 }).await;
    assert_eq!(world.call("acme", "ann").await.refusal().1, "user_limit_exceeded");
    world.end().await;
}
