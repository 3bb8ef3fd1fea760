//! Faults that no toolchain makes by itself, one a component: each is refused when it is loaded, by a name of its own. What
//! a plugin can do wrong when it is asked is in `src/plugin/tests.rs`, with `pricing-plugins/faulty`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ledger::{Credits, EventDefinition, Signals};
use pricing::{Call, Options, Plugin};

/// A component of `pricing-plugins/flaws`.
fn options(name: &str) -> Options {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins/flaws");
    Options::new(folder.join(name).with_extension("wasm"))
}

/// Why it is refused; `None` where it is not.
fn cause(name: &str) -> Option<&'static str> {
    Plugin::load(&options(name)).err().map(|error| error.cause())
}

#[test]
fn without_a_flaw_it_prices() {
    let plugin = Plugin::load(&options("none")).unwrap();
    let definition = EventDefinition {
        event_type: "e".parse().unwrap(),
        name: String::new(),
        category: String::new(),
        base_credits: Credits::ZERO,
        complexity: None,
        features: std::collections::BTreeMap::new(),
        version: 1,
    };
    let call = Call { definition: &definition, plan: &"free".parse().unwrap(), signals: &Signals::default() };
    assert_eq!(plugin.quote(&call).unwrap().credits, Credits::from_whole(1).unwrap());
}

#[test]
fn each_is_refused_by_its_name() {
    for (flaw, want) in [
        ("slow_start", "slow_start"),
        ("trap_at_start", "trap"),
        ("recursion_at_start", "stack_overflow"),
        ("slow_introduction", "time_limit"),
        ("memory_growth", "memory_limit"),
        ("table_growth", "table_limit"),
        ("pointer_to_nowhere", "malformed"),
    ] {
        assert_eq!(cause(flaw), Some(want), "{flaw}");
    }
}

#[test]
fn tables_have_as_many_elements_as_they_may_and_no_more() {
    for (flaw, want) in [
        ("table_at_the_limit", None),
        ("table_past_the_limit", Some("over_limit")),
        ("two_tables", Some("over_limit")),
        ("table_growth_to_the_limit", None),
        ("table_growth_past_the_limit", Some("table_limit")),
    ] {
        assert_eq!(cause(flaw), want, "{flaw}");
    }
}

#[test]
fn what_takes_too_long_to_compile_is_given_up_at_once() {
    let options = Options { compile_time_max: Duration::from_millis(20), ..options("long_to_compile") };
    let started = Instant::now();
    assert_eq!(Plugin::load(&options).err().map(|error| error.cause()), Some("compile_time"));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
