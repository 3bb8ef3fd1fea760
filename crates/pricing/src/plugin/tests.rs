use std::path::PathBuf;
use std::sync::LazyLock;

use ledger::{Clamp, Scalar, Thousandths};
use proptest::prelude::*;

use super::*;

/// A built plugin: the committed one, or one that was just built from its source.
#[expect(clippy::disallowed_methods, reason = "scripts/check-plugins says here where it built")]
fn file(name: &str) -> PathBuf {
    let committed = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins");
    std::env::var_os("PRICING_PLUGINS_BUILT").map_or_else(committed, PathBuf::from).join(name)
}

/// Compiled once for all tests.
fn standard() -> &'static Plugin {
    static STANDARD: LazyLock<Plugin> = LazyLock::new(|| Plugin::load(&Options::new(file("standard.wasm"))).unwrap());
    &STANDARD
}

/// The faulty plugin with the usual limits, compiled once for all tests.
fn faulty() -> &'static Plugin {
    static FAULTY: LazyLock<Plugin> = LazyLock::new(|| limited(|_| {}));
    &FAULTY
}

/// The faulty plugin with limits of its own.
fn limited(options: impl FnOnce(&mut Options)) -> Plugin {
    let mut with = Options::new(file("faulty.wasm"));
    options(&mut with);
    Plugin::load(&with).unwrap()
}

fn definition(event_type: &str, base: i64, clamp: Option<(u32, u32)>, features: &[(&str, i64)]) -> EventDefinition {
    let credits = |micros: i64| Credits::from_micros(micros);
    EventDefinition {
        event_type: event_type.parse().unwrap(),
        name: event_type.to_owned(),
        category: "test".to_owned(),
        base_credits: credits(base),
        complexity: clamp.map(|(min, max)| Clamp { min: Thousandths(min), max: Thousandths(max) }),
        features: features.iter().map(|(flag, price)| ((*flag).to_owned(), credits(*price))).collect(),
        version: 1,
    }
}

fn quote(
    plugin: &Plugin,
    definition: &EventDefinition,
    text_units: u64,
    flags: &[&str],
) -> Result<Quote, PricingError> {
    let signals = Signals { text_units, flags: flags.iter().map(ToString::to_string).collect(), ..Signals::default() };
    plugin.quote(&Call { definition, plan: &"free".parse().unwrap(), signals: &signals })
}

fn ask(plugin: &Plugin, event_type: &str) -> Result<Quote, PricingError> {
    quote(plugin, &definition(event_type, 1_000_000, None, &[]), 0, &[])
}

const ADD_ONS: [(&str, i64); 2] = [("echo", 5_000_000), ("traceback", 3_000_000)];

#[test]
fn ten_thousand_random_calls_agree_with_the_price_list_in_decimals() {
    let standard = standard();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..10_000 {
        let base = i64::try_from(random(40_000)).unwrap() * 1_000;
        let clamp = (random(3) > 0).then(|| (1_000, 1_000 + u32::try_from(random(2_001)).unwrap()));
        let units = random(3_000);
        let flags: Vec<&str> = ["echo", "traceback", "unknown"].into_iter().filter(|_| random(2) == 0).collect();
        // The model is written with other numbers than the plugin: credits as decimals of a thousandth.
        let factor = [(100, 10), (500, 12), (1_000, 15), (2_000, 20)]
            .iter()
            .find(|(under, _)| units < *under)
            .map_or(25, |step| step.1);
        let factor = clamp.map_or(1_000, |(min, max): (u32, u32)| (factor * 100).clamp(u64::from(min), u64::from(max)));
        let add_ons: i128 =
            ADD_ONS.iter().filter(|(flag, _)| flags.contains(flag)).map(|(_, price)| i128::from(*price)).sum();
        let exact = i128::from(base) * i128::from(factor) + add_ons * 1_000;
        let want = (exact + 500_000_000).div_euclid(1_000_000_000);
        let quote = quote(standard, &definition("e", base, clamp, &ADD_ONS), units, &flags).unwrap();
        assert_eq!(i128::from(quote.credits.micros()), want * 1_000_000, "{base} {clamp:?} {units} {flags:?}");
    }
}

#[test]
fn every_fault_has_its_name_and_the_next_call_is_unharmed() {
    let faulty = faulty();
    let cases = [
        ("trap", "trap"),
        ("loop", "time_limit"),
        ("recursion", "stack_overflow"),
        ("memory", "memory_limit"),
        ("output", "output_limit"),
        ("items", "output_limit"),
        ("not_utf8", "malformed"),
        ("wrong_sum", "wrong_sum"),
        ("overflow", "out_of_range"),
        ("negative", "out_of_range"),
        ("absurd", "out_of_range"),
        ("control", "invalid_text"),
        ("empty_label", "invalid_text"),
        ("decline", "declined"),
        ("misconfigured", "misconfigured"),
    ];
    for (event_type, cause) in cases {
        assert_eq!(ask(faulty, event_type).map_err(|error| error.cause()), Err(cause), "{event_type}");
        assert_eq!(ask(faulty, "sound").unwrap().credits, Credits::from_whole(1).unwrap(), "after {event_type}");
    }
}

/// On a busy machine so many take longer than a call may.
#[test]
fn many_small_allocations_meet_the_memory_limit_where_there_is_time_for_them() {
    let patient = limited(|options| options.time_max = Duration::from_secs(60));
    assert_eq!(ask(&patient, "allocations").map_err(|error| error.cause()), Err("memory_limit"));
    assert_eq!(ask(&patient, "sound").unwrap().credits, Credits::from_whole(1).unwrap());
}

#[test]
fn nothing_is_kept_from_call_to_call() {
    let faulty = faulty();
    for _ in 0..300 {
        assert_eq!(ask(faulty, "state").unwrap().credits, Credits::ZERO);
    }
}

#[test]
fn the_cap_on_a_call_holds_at_it_and_not_past_it() {
    let faulty = limited(|options| options.credits_per_call_max = Credits::from_micros(1_000_000));
    assert!(quote(&faulty, &definition("e", 1_000_000, None, &[]), 0, &[]).is_ok());
    assert_eq!(quote(&faulty, &definition("e", 1_000_001, None, &[]), 0, &[]), Err(PricingError::OutOfRange));
}

#[test]
fn a_settlement_is_at_most_its_quote() {
    let faulty = faulty();
    let settle = |event_type: &str, response_bytes| {
        let definition = definition(event_type, 1_000, None, &[]);
        let (plan, signals) = ("free".parse().unwrap(), Signals::default());
        let call = Call { definition: &definition, plan: &plan, signals: &signals };
        let quote = faulty.quote(&call).unwrap();
        faulty
            .settle(
                &call,
                &quote,
                &CallOutcome { response_bytes, complete: true, status: 200, ..CallOutcome::default() },
            )
            .map(|settled| (settled.quote.credits.micros(), settled.estimated))
    };
    assert_eq!(settle("sound", 0), Ok((1_000, false)));
    assert_eq!(settle("by_bytes", 7), Ok((7, false)));
    assert_eq!(settle("settle_unknown", 0), Ok((1_000, true)));
    assert_eq!(settle("settle_more", 0), Err(PricingError::OutOfRange));
    assert_eq!(settle("settle_negative", 0), Err(PricingError::OutOfRange));
    assert_eq!(settle("settle_decline", 0), Err(PricingError::Refused("too late".to_owned())));
    assert_eq!(settle("settle_trap", 0), Err(PricingError::Trap));
}

#[test]
fn the_standard_plugin_settles_at_its_quote() {
    let definition = definition("e", 10_000_000, None, &ADD_ONS);
    let call = Call { definition: &definition, plan: &"free".parse().unwrap(), signals: &Signals::default() };
    let quote = standard().quote(&call).unwrap();
    assert!(standard().settles_at_quote());
    let settled = standard().settle(&call, &quote, &CallOutcome::default());
    assert_eq!(settled, Ok(Settled { quote, estimated: false }));
}

#[test]
fn plugins_of_each_contract_load_side_by_side_and_price_alike() {
    // The standard plugin as it was built for 0.1, never built anew.
    let committed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins/contract-0.1.wasm");
    let older = Plugin::load(&Options::new(committed)).unwrap();
    assert_eq!((older.contract(), standard().contract()), ("0.1", "1.0"));
    assert_eq!((older.identity().name.as_str(), older.settles_at_quote()), ("standard", true));
    for (units, flags) in [(0, &[][..]), (99, &["echo"]), (1_999, &["echo", "traceback"]), (u64::MAX, &["other"])] {
        let definition = definition("e", 10_300_000, Some((1_000, 2_500)), &ADD_ONS);
        assert_eq!(quote(&older, &definition, units, flags), quote(standard(), &definition, units, flags), "{units}");
    }
}

#[test]
fn a_plugin_that_settles_by_usage_is_asked_only_where_tokens_were_counted() {
    let tokens = Plugin::load(&Options::new(file("tokens.wasm"))).unwrap();
    let definition = definition("chat", 0, None, &[]);
    let scalars = [("model".to_owned(), Scalar::Text("gpt-4.1".to_owned()))].into();
    let signals = Signals { scalars, body_bytes: 1_000, ..Signals::default() };
    let call = Call { definition: &definition, plan: &"free".parse().unwrap(), signals: &signals };
    let quote = tokens.quote(&call).unwrap();
    let settle = |input_tokens, output_tokens| {
        let usage = ModelUsage { input_tokens, output_tokens, ..ModelUsage::default() };
        let outcome = CallOutcome { status: 200, complete: true, usage, ..CallOutcome::default() };
        tokens.settle(&call, &quote, &outcome).map(|settled| (settled.quote.credits.micros(), settled.estimated))
    };
    let held = quote.credits.micros();
    assert_eq!(settle(None, None), Ok((held, true)));
    assert_eq!(settle(Some(10), None), Ok((held, true)));
    assert_eq!(settle(Some(0), Some(0)), Ok((0, false)));
    assert_eq!(settle(Some(10), Some(3)), Ok((440, false)));
}

/// The faulty plugin, asked for something of a given size.
fn sized(plugin: &Plugin, event_type: &str, size: u64) -> Result<Credits, &'static str> {
    let definition = definition(event_type, 0, None, &[]);
    let signals = Signals { text_units: size, item_count: size, ..Signals::default() };
    let call = Call { definition: &definition, plan: &"free".parse().unwrap(), signals: &signals };
    plugin.quote(&call).map(|quote| quote.credits).map_err(|error| error.cause())
}

#[test]
fn each_limit_holds_at_it_and_not_past_it() {
    let usual = faulty();
    assert_eq!(sized(usual, "item_count", 64), Ok(Credits::ZERO));
    assert_eq!(sized(usual, "item_count", 65), Err("output_limit"));
    assert_eq!(sized(usual, "label", 1), Ok(Credits::ZERO));
    assert_eq!(sized(usual, "label", 64), Ok(Credits::ZERO));
    assert_eq!(sized(usual, "label", 65), Err("invalid_text"));
    assert_eq!(sized(usual, "label", 0), Err("invalid_text"));

    // An answer is one item and its label.
    let output_bytes_max = size_of::<wit::Item>() + 40;
    let quiet = limited(|options| options.output_bytes_max = output_bytes_max);
    assert_eq!(sized(&quiet, "label", 40), Ok(Credits::ZERO));
    assert_eq!(sized(&quiet, "label", 41), Err("output_limit"));

    let small = limited(|options| options.memory_bytes_max = 2 << 20);
    let pages_max = (2 << 20) / (64 << 10);
    let pages = sized(&small, "pages", 0).unwrap().micros();
    let more = u64::try_from(pages_max - pages).unwrap();
    assert_eq!(sized(&small, "pages", more), Ok(Credits::from_micros(pages_max)));
    assert_eq!(sized(&small, "pages", more + 1), Err("memory_limit"));
    assert_eq!(sized(&small, "pages", u64::from(u32::MAX)), Err("memory_limit"));
}

#[test]
fn a_call_is_stopped_when_it_had_its_time_and_not_before() {
    for time_max in [Duration::from_millis(20), Duration::from_millis(80)] {
        let faulty = limited(|options| options.time_max = time_max);
        let started = std::time::Instant::now();
        assert_eq!(ask(&faulty, "loop"), Err(PricingError::TimeLimit));
        assert!(started.elapsed() >= time_max, "{:?}", started.elapsed());
    }
}

#[test]
fn a_plugin_that_compiles_too_long_is_given_up() {
    let mut options = Options::new(file("standard.wasm"));
    options.compile_time_max = Duration::ZERO;
    assert_eq!(Plugin::load(&options).err().map(|error| error.cause()), Some("compile_time"));
}

#[test]
fn a_fault_gives_its_place_in_the_pool_back() {
    let faulty = faulty();
    // More than there are places.
    for _ in 0..200 {
        for (event_type, cause) in [("trap", "trap"), ("recursion", "stack_overflow"), ("not_utf8", "malformed")] {
            assert_eq!(ask(faulty, event_type).map_err(|error| error.cause()), Err(cause));
        }
    }
}

#[test]
fn many_threads_price_at_once() {
    let definition = definition("e", 7_000_000, None, &[]);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let quote = quote(standard(), &definition, 0, &[]).unwrap();
                    assert_eq!(quote.credits, Credits::from_whole(7).unwrap());
                }
            });
        }
    });
}

#[test]
fn what_a_plugin_says_to_people_is_short_and_plain() {
    let said = |why: &str| answer::refusal(wit::Refusal::Decline(why.to_owned()));
    assert_eq!(said("no\r\nSet-Cookie: a=b\u{7f}"), PricingError::Refused("noSet-Cookie: a=b".to_owned()));
    assert_eq!(said(&"é".repeat(128)), PricingError::Refused("é".repeat(128)));
    assert_eq!(said(&format!("a{}", "é".repeat(128))), PricingError::Refused(format!("a{}", "é".repeat(127))));
}

#[test]
fn what_is_no_plugin_is_rejected_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Plugin::load(&Options::new(path)).err().map(|error| (error.cause(), error.to_string()))
    };
    let sound = std::fs::read(file("standard.wasm")).unwrap();
    let imports = b"\0asm\x0d\0\x01\0\x07\x0a\x01\x41\x02\x01\x42\0\0\0\0\0";
    assert_eq!(load("empty.wasm", b"").unwrap().0, "not_a_component");
    assert_eq!(load("text.wasm", b"price = 5").unwrap().0, "not_a_component");
    assert_eq!(load("cut.wasm", &sound[..sound.len() / 2]).unwrap().0, "not_a_component");
    assert_eq!(load("module.wasm", b"\0asm\x01\0\0\0").unwrap().0, "not_a_component");
    assert_eq!(load("bare.wasm", b"\0asm\x0d\0\x01\0").unwrap().0, "exports");
    assert_eq!(load("damaged.wasm", imports).unwrap().0, "not_a_component");
    // A component whose one import is an empty instance.
    let import = [&b"\0asm\x0d\0\x01\0"[..], b"\x07\x03\x01\x42\x00", b"\x0a\x09\x01\x00\x04wasi\x05\x00"];
    assert_eq!(
        load("imports.wasm", &import.concat()).unwrap(),
        ("imports", "it imports wasi; a plugin may import nothing".to_owned())
    );
    // A component around a module that starts with so many pages of 64 KiB: the limit is 16 MiB.
    let pages = |pages: [u8; 2]| {
        let module = [b"\0asm\x01\0\0\0\x05\x04\x01\x00", &pages[..]].concat();
        [&b"\0asm\x0d\0\x01\0\x01\x0e"[..], &module, b"\x02\x04\x01\x00\x00\x00"].concat()
    };
    assert_eq!(load("fits.wasm", &pages([0x80, 2])).unwrap().0, "exports");
    let (cause, reason) = load("large.wasm", &pages([0x81, 2])).unwrap();
    assert!(cause == "over_limit" && reason.contains("16842752"), "{cause}: {reason}");
    let mut options = Options::new(file("standard.wasm"));
    options.file_bytes_max = u64::try_from(sound.len()).unwrap();
    assert!(Plugin::load(&options).is_ok());
    options.file_bytes_max -= 1;
    assert_eq!(Plugin::load(&options).err().map(|error| error.cause()), Some("file_too_large"));
    assert_eq!(Plugin::load(&Options::new(folder.path())).err().map(|error| error.cause()), Some("unreadable"));
    options = Options::new(file("missing.wasm"));
    assert_eq!(Plugin::load(&options).err().map(|error| error.cause()), Some("unreadable"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_definition_and_signals_give_a_price_whose_items_add_up(
        base in 0_i64..1_000_000_000_000, min in 0_u32..5_000, span in 0_u32..5_000, units: u64, add_on in -5_000_000_i64..5_000_000
    ) {
        let definition = definition("e", base, Some((min, min + span)), &[("flag", add_on)]);
        match quote(standard(), &definition, units, &["flag"]) {
            Ok(quote) => prop_assert_eq!(quote.credits.micros() % 1_000_000, 0),
            Err(error) => prop_assert_eq!(error, PricingError::OutOfRange),
        }
    }
}
