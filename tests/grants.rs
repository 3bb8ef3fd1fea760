//! Credits beside the plan's that end: spent to the last one, carried over, gone when they end.

use serde_json::{Value, json};

use crate::world::{OPERATOR, On, World, on_each_database, until};

on_each_database! {
    a_grant_is_spent_after_the_plans_credits_to_the_last_one,
    what_is_left_of_a_grant_is_there_the_month_after_and_gone_when_it_ends,
    a_grant_that_is_ended_is_taken,
}

const PATH: &str = "/api/admin/organizations/acme/grants";

async fn grant(world: &World, credits: i64, expires_at: &str) -> Value {
    let body = json!({"credits": credits, "expiresAt": expires_at, "reason": "a top-up"});
    let made = world.post(PATH, &format!("until-{expires_at}"), &body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()
}

async fn calls_until_refused(world: &World) -> usize {
    for calls in 0..100 {
        let answer = world.call("acme", "ann").await;
        if answer.status != 200 {
            assert_eq!(answer.refusal(), (402, "credit_limit_exceeded".to_owned()));
            return calls;
        }
    }
    panic!("no call was refused")
}

async fn remaining(world: &World, credits: i64) {
    until("so much remains", || async { world.counter("acme").await["remaining"] == credits }).await;
}

async fn shown(world: &World) -> Vec<(Value, Value)> {
    let grants = world.get(PATH, OPERATOR).await.json()["grants"].take();
    let management = world.owned("acme", "/management").await["management"]["grants"].take();
    assert_eq!(grants, management);
    grants.as_array().unwrap().iter().map(|it| (it["credits"].clone(), it["remaining"].clone())).collect()
}

async fn a_grant_is_spent_after_the_plans_credits_to_the_last_one(on: On) {
    let world = World::start_on(on).await;
    world.limit("acme", 20).await;
    let first = grant(&world, 20, "2026-12-20T00:00:00Z").await;
    assert_eq!(grant(&world, 20, "2026-12-20T00:00:00Z").await["id"], first["id"]);
    remaining(&world, 40).await;
    assert_eq!(shown(&world).await, [(json!(20), json!(20))]);
    assert_eq!(calls_until_refused(&world).await, 4);
    assert_eq!(shown(&world).await, [(json!(20), json!(0))]);
    world.end().await;
}

async fn what_is_left_of_a_grant_is_there_the_month_after_and_gone_when_it_ends(on: On) {
    let mut world = World::start_on(on).await;
    world.limit("acme", 20).await;
    grant(&world, 30, "2026-12-20T00:00:00Z").await;
    remaining(&world, 50).await;
    for _ in 0..3 {
        assert_eq!(world.call("acme", "ann").await.status, 200);
    }
    if let On::Postgres = on {
        // What is leased of a month comes back when it is idle, or with the end of its gateway.
        world.restart().await;
    }
    world.at("2026-12-01T00:00:00Z");
    remaining(&world, 40).await;
    assert_eq!(shown(&world).await, [(json!(20), json!(20))]);
    let november = world.owned("acme", "/dashboard?month=2026-11").await["dashboard"].take();
    assert_eq!(november["overview"]["usedCredits"], 20, "30 of calls, and 10 that the grant gave");
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.at("2026-12-19T23:59:59.999Z");
    remaining(&world, 30).await;
    world.at("2026-12-20T00:00:00Z");
    if let On::Sqlite = on {
        remaining(&world, 10).await;
        assert_eq!(calls_until_refused(&world).await, 1);
    }
    until("the grant is gone", || async { shown(&world).await.is_empty() }).await;
    world.end().await;
}

async fn a_grant_that_is_ended_is_taken(on: On) {
    let world = World::start_on(on).await;
    world.limit("acme", 20).await;
    let id = grant(&world, 30, "2026-12-20T00:00:00Z").await["id"].take();
    remaining(&world, 50).await;
    let path = format!("{PATH}/{}", id.as_str().unwrap());
    for ended in [true, false] {
        let answer = world.request("DELETE", &path).by(&world.credential(OPERATOR)).send().await;
        assert_eq!((answer.status, &answer.json()["ended"]), (200, &json!(ended)), "{}", answer.text());
    }
    remaining(&world, 20).await;
    assert_eq!(calls_until_refused(&world).await, 2);
    world.end().await;
}
