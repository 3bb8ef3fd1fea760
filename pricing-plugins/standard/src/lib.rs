//! The standard price list: base × complexity + add-ons, rounded half up to a whole credit.
//!
//! Copy this folder to write a plugin of your own: keep this file, change `price.rs`.

mod memory;
mod price;

wit_bindgen::generate!({ path: "../wit", world: "plugin" });

use exports::gateway::pricing::price_list::{
    Basis, Call, Description, Guest, Item, Outcome, Price, Refusal, Settlement,
};

struct Standard;

impl Guest for Standard {
    fn describe() -> Description {
        Description {
            name: "standard".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            event_types: Vec::new(),
            settles_by: Basis::Quote,
        }
    }

    fn quote(call: Call) -> Result<Price, Refusal> {
        let definition = &call.definition;
        let add_ons = definition.add_ons.iter().filter(|add_on| call.signals.flags.contains(&add_on.flag));
        let add_ons: Vec<(&str, i64)> = add_ons.map(|add_on| (add_on.flag.as_str(), add_on.price)).collect();
        let clamp = definition.complexity.map(|clamp| (clamp.min, clamp.max));
        let items = price::items(definition.base, clamp, call.signals.text_units, &add_ons)
            .ok_or_else(|| Refusal::Misconfigured("the price is out of range".into()))?;
        let total = items.iter().map(|(_, price)| price).sum();
        let items = items.into_iter().map(|(label, price)| Item { label, price }).collect();
        Ok(Price { total, items })
    }

    fn settle(_call: Call, quoted: Price, _outcome: Outcome) -> Result<Settlement, Refusal> {
        Ok(Settlement::Charge(quoted))
    }
}

export!(Standard);
