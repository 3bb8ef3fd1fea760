//! Bugs: one in a call ends that call alone, and what it held is settled at once.

use std::backtrace::Backtrace;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::{Clock, ManualClock, Timestamp};
use serde_json::json;

use crate::world::{On, World, on_each_database, until};

on_each_database! {
    a_bug_in_a_call_fails_it_alone_and_its_hold_is_settled_at_once,
}

/// A clock that breaks down once, for whoever asks it while a call is being settled.
struct Faulty {
    clock: Arc<ManualClock>,
    armed: AtomicBool,
}

impl Clock for Faulty {
    fn now(&self) -> Timestamp {
        let is_meant =
            self.armed.load(Ordering::SeqCst) && Backtrace::force_capture().to_string().contains("src/settle.rs");
        assert!(!is_meant || !self.armed.swap(false, Ordering::SeqCst), "a bug, as the journey wants one");
        self.clock.now()
    }
}

async fn a_bug_in_a_call_fails_it_alone_and_its_hold_is_settled_at_once(on: On) {
    for (policy, credits) in [("void", 0), ("capture", 10)] {
        let mut world = World::start_on(on).await;
        world.stop().await;
        world.set("SETTLEMENT__INTERRUPTED", policy);
        let clock = Arc::new(Faulty { clock: Arc::clone(&world.clock), armed: AtomicBool::new(false) });
        world.run_by(clock.clone()).await;
        assert_eq!(world.call("acme", "ann").await.status, 200);
        clock.armed.store(true, Ordering::SeqCst);
        let answer = world.call("acme", "ann").await;
        assert_eq!(answer.refusal(), (500, "internal".to_owned()));
        assert_eq!(answer.header("connection"), Some("close"), "nobody knows what is left on the connection");
        assert!(!clock.armed.load(Ordering::SeqCst), "it was this call");
        assert_eq!(world.call("acme", "ann").await.status, 200, "others go on");
        until("the event of the call is there", async || world.events("acme").await.len() == 3).await;
        let mut outcomes: Vec<_> =
            world.events("acme").await.iter().map(|event| event["outcome"].as_str().unwrap().to_owned()).collect();
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["captured", "captured", "interrupted"], "all three are of one millisecond");
        let counter = world.counter("acme").await;
        assert_eq!((&counter["used"], &counter["held"]), (&json!(20 + credits), &json!(0)), "{policy}");
        // A restart finds nothing to do.
        world.restart().await;
        assert_eq!(world.events("acme").await.len(), 3);
        assert_eq!(world.counter("acme").await["used"], 20 + credits);
        world.end().await;
    }
}
