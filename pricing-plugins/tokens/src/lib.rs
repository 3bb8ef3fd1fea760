//! A price list by model and tokens: held by what a call can use at most, settled by what its backend counted.
//!
//! Copy this folder to price models of your own: keep this file, change the table in `price.rs`.

mod memory;
mod price;

wit_bindgen::generate!({ path: "../wit", world: "plugin" });

use exports::gateway::pricing::price_list::{
    Basis, Call, Description, Guest, Item, Outcome, Price, Refusal, Scalar, Settlement,
};
use price::{Counted, Rates};

struct Tokens;

impl Guest for Tokens {
    fn describe() -> Description {
        Description {
            name: "tokens".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            event_types: Vec::new(),
            settles_by: Basis::Usage,
        }
    }

    /// The most that the call can cost: all of its body read at the dearest rate, all of its `max_tokens` written, as many
    /// times over as it asks for answers.
    fn quote(call: Call) -> Result<Price, Refusal> {
        let rates = rates(&call)?;
        let input = price::tokens_at_most(call.signals.body_bytes);
        let named = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        let most = named.into_iter().find_map(|name| scalar(&call, name).map(|most| (name, most)));
        let each = most.map_or(Ok(rates.most), |(name, most)| whole(name, most))?;
        let answers = scalar(&call, "n").map_or(Ok(1), |answers| whole("n", answers))?;
        let output = each.saturating_mul(answers.max(1));
        let counted = Counted { input, output, ..Counted::default() };
        price(&call, &rates.dearest(), counted).ok_or_else(|| Refusal::Decline("max_tokens is too large".into()))
    }

    /// What the backend counted, but no more than was held: the contract allows no more, and the quote is meant to be the
    /// most.
    fn settle(call: Call, quoted: Price, outcome: Outcome) -> Result<Settlement, Refusal> {
        let usage = outcome.usage;
        let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) else {
            return Ok(Settlement::Unknown);
        };
        let (cached, written) = (usage.cached_input_tokens.unwrap_or(0), usage.cache_write_tokens.unwrap_or(0));
        let counted = Counted { input, output, cached, written };
        // The request's model sets the rates, as it did the quote: a backend may name it more exactly than the table does.
        let charged = price(&call, rates(&call)?, counted).filter(|price| price.total <= quoted.total);
        Ok(Settlement::Charge(charged.unwrap_or(quoted)))
    }
}

fn rates(call: &Call) -> Result<&'static Rates, Refusal> {
    match scalar(call, "model") {
        Some(Scalar::Text(model)) => {
            price::rates(model).ok_or_else(|| Refusal::Decline("this model is not on the price list".into()))
        }
        _ => Err(Refusal::Decline("say which model".into())),
    }
}

fn whole(name: &str, scalar: &Scalar) -> Result<u64, Refusal> {
    match scalar {
        Scalar::Integer(number) if *number >= 0 => Ok(number.unsigned_abs()),
        _ => Err(Refusal::Decline(format!("{name} must be a whole number of zero or more"))),
    }
}

/// A scalar of the request, where the route shows it.
fn scalar<'a>(call: &'a Call, name: &str) -> Option<&'a Scalar> {
    call.signals.scalars.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The definition's base is for the call itself. `None` where it overflows.
fn price(call: &Call, rates: &Rates, counted: Counted) -> Option<Price> {
    let items = price::items(call.definition.base, rates, counted)?;
    let total = items.iter().try_fold(0_i64, |sum, (_, price)| sum.checked_add(*price))?;
    Some(Price { total, items: items.into_iter().map(|(label, price)| Item { label: label.into(), price }).collect() })
}

export!(Tokens);
