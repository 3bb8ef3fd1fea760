//! What a plugin's language costs, and whether plugins in different languages set the same prices: ten thousand random
//! calls through each file given, and through a model of the standard price list that shares no code with any of them.
//!
//! `make languages` builds the templates and runs this; it exits 1 where a price differs.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for a terminal")]

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ledger::{Clamp, Credits, EventDefinition, PlanName, Signals, Thousandths};
use pricing::{Call, Options, Plugin, PricingError, Quote};

const CASES: usize = 10_000;
const CALLS_TIMED: usize = 1_000;
/// What a call may cost.
const MICROS_MAX: i128 = 1_000_000_000_000;

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        println!("languages PLUGIN.wasm…: compares plugins of the standard price list");
        return ExitCode::from(64);
    }
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let cases: Vec<Case> = (0..CASES).map(|_| Case::any(&mut random)).collect();
    let plan: PlanName = "free".parse().unwrap();
    println!(
        "{:<44} {:>9} {:>8} {:>9} {:>9} {:>9} {:>6}",
        "plugin", "bytes", "load", "p50", "p99", "resident", "wrong"
    );
    let (mut wrong_in_all, mut first_answers) = (0, None);
    for file in &files {
        let before = resident_bytes();
        let started = Instant::now();
        let options = Options { compile_time_max: Duration::from_secs(600), ..Options::new(file) };
        let plugin = match Plugin::load(&options) {
            Ok(plugin) => plugin,
            Err(error) => {
                println!("{file}: {}: {error}", error.cause());
                return ExitCode::FAILURE;
            }
        };
        let loaded_in = started.elapsed();
        let (p50, p99) = call_time(&plugin, &cases, &plan);
        let resident = resident_bytes().saturating_sub(before) >> 20;
        let answers: Vec<Result<Quote, PricingError>> =
            cases.iter().map(|case| plugin.quote(&case.call(&plan))).collect();
        let mut wrong = 0;
        for (at, (case, answer)) in cases.iter().zip(&answers).enumerate() {
            let want = case.price();
            let priced = match answer {
                Ok(quote) => i128::from(quote.credits.micros()) == want,
                Err(error) => *error == PricingError::OutOfRange && !(0..=MICROS_MAX).contains(&want),
            };
            let as_the_first = first_answers.as_ref().is_none_or(|first: &Vec<_>| first.get(at) == Some(answer));
            if !priced || !as_the_first {
                wrong += 1;
                if wrong == 1 {
                    println!("{file}: {case:?}: wanted {} micro-credits, answered {answer:?}", case.price());
                }
            }
        }
        let bytes = plugin.bytes();
        println!("{file:<44} {bytes:>9} {loaded_in:>8.0?} {p50:>9.0?} {p99:>9.0?} {resident:>5} MiB {wrong:>6}");
        wrong_in_all += wrong;
        first_answers.get_or_insert(answers);
    }
    if wrong_in_all > 0 {
        return ExitCode::FAILURE;
    }
    println!("{CASES} random calls: {} plugins and the model agree to the micro-credit, item by item.", files.len());
    ExitCode::SUCCESS
}

/// The middle and the hundredth-slowest of some calls, each in a fresh instance.
fn call_time(plugin: &Plugin, cases: &[Case], plan: &PlanName) -> (Duration, Duration) {
    let timed = |case: &Case| {
        let started = Instant::now();
        let _ = std::hint::black_box(plugin.quote(&case.call(plan)));
        started.elapsed()
    };
    let mut times: Vec<Duration> = cases.iter().take(CALLS_TIMED).map(timed).collect();
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

/// What this process has in memory.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

/// A call and the definition of its price.
#[derive(Debug)]
struct Case {
    definition: EventDefinition,
    signals: Signals,
}

impl Case {
    fn any(random: &mut Random) -> Self {
        let micros = |most: u64, random: &mut Random| i64::try_from(random.below(most)).unwrap();
        let flags = ["echo", "enhanced", "traceback", "ünïcode ✓"];
        let priced = flags.into_iter().filter(|_| random.below(2) == 0).collect::<Vec<_>>();
        let features = priced
            .into_iter()
            .map(|flag| (flag.to_owned(), Credits::from_micros(micros(20_000_000, random) - 5_000_000)))
            .collect();
        let min = u32::try_from(random.below(2_000)).unwrap();
        let max = min + u32::try_from(random.below(2_000)).unwrap();
        let given = flags.into_iter().chain(["unknown"]).filter(|_| random.below(2) == 0).map(str::to_owned);
        let mut signals = Signals { flags: given.collect(), ..Signals::default() };
        // Lengths around the steps, and some far from them.
        signals.text_units = match random.below(10) {
            0 => u64::MAX - random.below(2),
            1 => [99, 100, 499, 500, 999, 1_000, 1_999, 2_000][usize::try_from(random.below(8)).unwrap()],
            _ => random.below(3_000),
        };
        let mut event_type = String::from("event");
        let _ = write!(event_type, "_{}", random.below(10));
        let definition = EventDefinition {
            event_type: event_type.parse().unwrap(),
            name: "Random".to_owned(),
            category: "random".to_owned(),
            base_credits: Credits::from_micros(if random.below(8) == 0 {
                micros(1_000_000_000_000 / 4, random)
            } else {
                10_000_000 + micros(40_000_000, random)
            }),
            complexity: (random.below(3) > 0).then_some(Clamp { min: Thousandths(min), max: Thousandths(max) }),
            features,
            version: 1,
        };
        Self { definition, signals }
    }

    fn call<'a>(&'a self, plan: &'a PlanName) -> Call<'a> {
        Call { definition: &self.definition, plan, signals: &self.signals }
    }

    /// The model: the price in micro-credits, counted up to rather than divided down to. The whole credit whose distance
    /// from the exact price is least, and of two that are as far the higher one.
    fn price(&self) -> i128 {
        let length = self.signals.text_units;
        let tenths = 10
            + 2 * i128::from(length >= 100)
            + 3 * i128::from(length >= 500)
            + 5 * i128::from(length >= 1_000)
            + 5 * i128::from(length >= 2_000);
        let factor = self.definition.complexity.map_or(1_000, |clamp| {
            if tenths * 100 < i128::from(clamp.min.0) {
                i128::from(clamp.min.0)
            } else if tenths * 100 > i128::from(clamp.max.0) {
                i128::from(clamp.max.0)
            } else {
                tenths * 100
            }
        });
        // In billionths of a credit.
        let mut exact = i128::from(self.definition.base_credits.micros()) * factor;
        for flag in &self.signals.flags {
            exact += self.definition.features.get(flag).map_or(0, |price| i128::from(price.micros()) * 1_000);
        }
        let below = exact - exact.rem_euclid(1_000_000_000);
        let credit = if (exact - below) * 2 >= 1_000_000_000 { below + 1_000_000_000 } else { below };
        credit / 1_000
    }
}

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}
