//! The database is away for a while: paid calls stop cleanly, nothing is lost, and all goes on by itself.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{Answer, Gate, On, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_paid_calls_go_on_while_the_lease_lasts_then_get_503_and_go_on_when_it_is_back() {
    let world = World::start_on(On::Postgres).await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    world.backend.has_calls(2).await;
    world.backend.answers(Answer::default());
    world.database().close_to_all().await.unwrap();
    until("the lease is used up", async || {
        let refused = world.call("acme", "ann").await;
        assert!(refused.status == 503 || refused.status == 200, "{}", refused.text());
        refused.status == 503 && refused.refusal().1 == "store_unavailable"
    })
    .await;
    let before = world.backend.calls();
    assert_eq!(world.call("acme", "ann").await.refusal(), (503, "store_unavailable".to_owned()));
    assert_eq!(world.backend.calls(), before, "the backend hears nothing of a call that cannot be paid for");
    world.database().open_to_all().await.unwrap();
    // The call that began before is still on its way: its hold is kept, and nobody waits for it.
    until("paid calls go on", async || world.call("acme", "ann").await.status == 200).await;
    gate.open();
    assert_eq!(request.answer(&mut connection).await.usage_headers().1, "10");
    assert_eq!(world.counter("acme").await["used"], 10 * world.backend.calls());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_the_database_did_not_hear_of_is_replayed_by_the_next_start() {
    let mut world = World::with_on(On::Postgres, &[("SERVER__SHUTDOWN_GRACE", "5m")]).await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = request.start().await;
    world.backend.has_calls(1).await;
    world.database().close_to_all().await.unwrap();
    gate.open();
    assert_eq!(request.answer(&mut connection).await.usage_headers().1, "10");
    let began = Instant::now();
    world.stop().await;
    assert!(began.elapsed() < Duration::from_secs(15), "a stop waited for what cannot be: {:?}", began.elapsed());
    world.database().open_to_all().await.unwrap();
    world.run().await;
    assert_eq!(world.counter("acme").await["used"], 10);
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_under_load_charge_every_call_once() {
    let world = World::start_on(On::Postgres).await;
    world.limit("acme", 100).await;
    let cutting = async {
        for _ in 0..5 {
            world.database().cut().await.unwrap();
        }
    };
    let calling = async {
        let mut paid = 0;
        // Whatever is refused meanwhile is refused cleanly; the balance is used to its last credit.
        while paid < 10 {
            let answer = world.call("acme", "ann").await;
            assert!([200, 503].contains(&answer.status), "{}", answer.text());
            paid += u32::from(answer.status == 200);
        }
    };
    tokio::join!(cutting, calling);
    until("the books are read anew", async || world.call("acme", "ann").await.status == 402).await;
    assert_eq!(world.backend.calls(), 10);
    assert_eq!(world.counter("acme").await["used"], 100);
    world.end().await;
}
