//! The lease protocol under simulation: thousands of schedules, each from a seed, with every invariant of `lease.rs`
//! asserted after every step. `LEASE_SEED=n cargo test -p ledger --test leases` repeats one schedule.

#[cfg(test)]
mod database;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod random;
#[cfg(test)]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use faults::Mutant;
use world::{Tally, World};

/// Schedules of the normal test run.
const SEEDS: u64 = 2_000;
/// Schedules within which a broken protocol must be caught.
const SEEDS_TO_CATCH: u64 = 5_000;

fn chosen_seed() -> Option<u64> {
    from_environment()?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "a test is told by its environment which schedule to repeat")]
fn from_environment() -> Option<String> {
    std::env::var("LEASE_SEED").ok()
}

#[test]
fn no_schedule_overspends_loses_credit_or_refuses_wrongly() {
    if let Some(seed) = chosen_seed() {
        println!("{:?}", World::new(seed, Mutant::None).run());
        return;
    }
    let mut total = Tally::default();
    for seed in 0..SEEDS {
        let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, Mutant::None).run()));
        let tally =
            run.unwrap_or_else(|_| panic!("repeat it with LEASE_SEED={seed} cargo test -p ledger --test leases"));
        total.add(tally);
    }
    println!("{total:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(total.opened > 20 * SEEDS && total.charged > 10 * SEEDS && total.refused > SEEDS, "{total:?}");
    assert!(total.begun > SEEDS && total.refused_to_ann > SEEDS / 2, "{total:?}");
    assert!(total.reclaims > 0 && total.voided_unsecured > 0 && total.unanswered > 0, "{total:?}");
}

/// How many schedules it takes to catch a broken protocol.
fn caught(mutant: Mutant) -> Option<u64> {
    (0..SEEDS_TO_CATCH).find(|seed| catch_unwind(AssertUnwindSafe(|| World::new(*seed, mutant).run())).is_err())
}

#[test]
fn every_broken_protocol_is_caught() {
    for mutant in Mutant::ALL {
        let seed = caught(mutant);
        println!("{mutant:?} is caught by seed {seed:?}");
        assert!(seed.is_some(), "{mutant:?} was not caught within {SEEDS_TO_CATCH} schedules");
    }
}
