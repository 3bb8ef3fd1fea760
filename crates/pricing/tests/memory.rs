//! Memory stays flat, whatever plugins do: alone in its process, so that what is measured is theirs.
#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ledger::{Credits, EventDefinition, Signals};
use pricing::{Call, Options, Plugin};

/// What may come on top once everything has been used: pages that the allocator keeps, not a slot a fault.
const MORE_BYTES_MAX: u64 = 24 << 20;

fn ask(plugin: &Plugin, event_type: &str) -> Result<Credits, &'static str> {
    let definition = EventDefinition {
        event_type: event_type.parse().unwrap(),
        name: String::new(),
        category: String::new(),
        base_credits: Credits::ZERO,
        complexity: None,
        features: BTreeMap::new(),
        version: 1,
    };
    let call = Call { definition: &definition, plan: &"free".parse().unwrap(), signals: &Signals::default() };
    plugin.quote(&call).map(|quote| quote.credits).map_err(|error| error.cause())
}

fn faulty() -> Plugin {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins/faulty.wasm");
    Plugin::load(&Options::new(path)).unwrap()
}

/// A figure of this process in bytes.
fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    let figure: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    if line.ends_with("kB") { figure << 10 } else { figure }
}

#[test]
fn faults_and_reloads_leave_nothing_behind() {
    let plugin = faulty();
    let every_fault = |rounds: usize| {
        for _ in 0..rounds {
            assert_eq!(ask(&plugin, "memory"), Err("memory_limit"));
            for _ in 0..10 {
                assert_eq!(ask(&plugin, "trap"), Err("trap"));
                assert_eq!(ask(&plugin, "recursion"), Err("stack_overflow"));
                assert_eq!(ask(&plugin, "items"), Err("output_limit"));
            }
        }
    };
    every_fault(1);
    drop(faulty());
    let (before, threads) = (status("VmRSS"), status("Threads"));
    // 31 a round.
    every_fault(323);
    for _ in 0..5 {
        assert_eq!(ask(&faulty(), "sound"), Ok(Credits::ZERO));
    }
    let after = status("VmRSS");
    assert!(after < before + MORE_BYTES_MAX, "{before} bytes before, {after} after");
    // Each plugin has a clock, which ends at its next tick.
    let started = std::time::Instant::now();
    while status("Threads") > threads && started.elapsed().as_secs() < 10 {
        std::thread::sleep(Options::EPOCH);
    }
    assert!(status("Threads") <= threads, "{threads} threads before, {} after", status("Threads"));
}
