//! A plugin that does one wrong thing for each event type: the host's limits are tested with it.

use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering};

wit_bindgen::generate!({ path: "../wit", world: "plugin" });

use exports::gateway::pricing::price_list::{
    Basis, Call, Description, Guest, Item, Outcome, Price, Refusal, Settlement,
};

/// Survives only if an instance is used twice.
static CALLS: AtomicI64 = AtomicI64::new(0);

struct Faulty;

impl Guest for Faulty {
    fn describe() -> Description {
        Description {
            name: "faulty".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            event_types: Vec::new(),
            settles_by: Basis::Outcome,
        }
    }

    fn quote(call: Call) -> Result<Price, Refusal> {
        let text_units = usize::try_from(call.signals.text_units).unwrap_or(usize::MAX);
        let one = |price| Price { total: price, items: vec![Item { label: "base".into(), price }] };
        Ok(match call.definition.event_type.as_str() {
            "trap" => core::arch::wasm32::unreachable(),
            "loop" => loop {
                black_box(());
            },
            "recursion" => one(recurse(call.definition.base)),
            "memory" => one(grow()),
            "allocations" => one(crumble()),
            "output" => one_label("x".repeat(1 << 20)),
            "items" => Price { total: 0, items: (0..100_000).map(|_| Item { label: "i".into(), price: 0 }).collect() },
            "wrong_sum" => Price { total: 2, ..one(1) },
            "overflow" => {
                let item = || Item { label: "i".into(), price: i64::MAX };
                Price { total: -2, items: vec![item(), item()] }
            }
            "negative" => one(-1),
            "absurd" => one(i64::MAX),
            // These take their measure from the signals, so that a test can go to a limit and one past it.
            "label" => one_label("x".repeat(text_units)),
            "item_count" => {
                let items = (0..call.signals.item_count).map(|_| Item { label: "i".into(), price: 0 });
                Price { total: 0, items: items.collect() }
            }
            // Grows memory by so many pages and says how many there are.
            "pages" => {
                core::arch::wasm32::memory_grow::<0>(text_units);
                one(i64::try_from(core::arch::wasm32::memory_size::<0>()).unwrap_or(i64::MAX))
            }
            "control" => one_label("line\nbreak".into()),
            // No number, and no fault: a label is text, and amounts are integers.
            "not_a_number" => one_label("NaN".into()),
            // SAFETY: none; this is the fault.
            "not_utf8" => one_label(unsafe { String::from_utf8_unchecked(vec![b'a', 0xff]) }),
            "empty_label" => one_label(String::new()),
            "decline" => return Err(Refusal::Decline("no such thing here".into())),
            "misconfigured" => return Err(Refusal::Misconfigured("no base price".into())),
            "state" => one(CALLS.fetch_add(1, Ordering::Relaxed) * 1_000_000),
            _ => one(call.definition.base),
        })
    }

    fn settle(call: Call, quoted: Price, outcome: Outcome) -> Result<Settlement, Refusal> {
        Ok(Settlement::Charge(match call.definition.event_type.as_str() {
            "settle_more" => {
                Price { total: quoted.total + 1, items: vec![Item { label: "more".into(), price: quoted.total + 1 }] }
            }
            "settle_negative" => Price { total: -1, items: vec![Item { label: "less".into(), price: -1 }] },
            "settle_decline" => return Err(Refusal::Decline("too late".into())),
            "settle_trap" => core::arch::wasm32::unreachable(),
            "by_bytes" => {
                let price = i64::try_from(outcome.response_bytes).unwrap_or(i64::MAX).min(quoted.total);
                Price { total: price, items: vec![Item { label: "bytes".into(), price }] }
            }
            // A micro-credit a token read, two a token written.
            "by_tokens" => {
                let (Some(input), Some(output)) = (outcome.usage.input_tokens, outcome.usage.output_tokens) else {
                    return Ok(Settlement::Unknown);
                };
                let price = |tokens: u64, each: i64| i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(each);
                let (input, output) = (price(input, 1), price(output, 2));
                let items =
                    vec![Item { label: "input".into(), price: input }, Item { label: "output".into(), price: output }];
                Price { total: input.saturating_add(output), items }
            }
            "settle_unknown" => return Ok(Settlement::Unknown),
            _ => quoted,
        }))
    }
}

fn one_label(label: String) -> Price {
    Price { total: 0, items: vec![Item { label, price: 0 }] }
}

// Twice, so that the compiler cannot make a loop of it; without locals, so that it is the host's stack that runs out.
#[inline(never)]
fn recurse(depth: i64) -> i64 {
    if depth == i64::MIN { 0 } else { recurse(depth.wrapping_add(1)) ^ recurse(depth.wrapping_add(2)) }
}

fn grow() -> i64 {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

// As many small blocks as there is memory for.
fn crumble() -> i64 {
    loop {
        Box::leak(black_box(Box::new(1_i64)));
    }
}

export!(Faulty);
