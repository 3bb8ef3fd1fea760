//! Contract 0.1, the one before 1.0: it knew tokens, and could not say that it does not know enough.

use wasmtime::Store;

use super::{in_words_of, wit as present};
use crate::engine::Limits;
use crate::plugin::{Call, CallOutcome, Quote};

pub(crate) mod bindings {
    //! Generated from `pricing-plugins/wit-0.1`.
    #![allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::as_conversions)]
    wasmtime::component::bindgen!({ path: "../../pricing-plugins/wit-0.1", world: "plugin" });
}

use bindings::exports::gateway::pricing::price_list as wit;

in_words_of!(wit);

pub(super) fn describe(plugin: &bindings::Plugin, store: &mut Store<Limits>) -> wasmtime::Result<present::Description> {
    let said = plugin.gateway_pricing_price_list().call_describe(store)?;
    Ok(present::Description {
        name: said.name,
        version: said.version,
        event_types: said.event_types,
        settles_by: if said.settles_at_quote { present::Basis::Quote } else { present::Basis::Outcome },
    })
}

pub(super) fn quote(
    plugin: &bindings::Plugin,
    store: &mut Store<Limits>,
    asked: &Call<'_>,
) -> wasmtime::Result<Result<present::Price, present::Refusal>> {
    let answered = plugin.gateway_pricing_price_list().call_quote(store, &call(asked))?;
    Ok(answered.map(present_price).map_err(present_refusal))
}

pub(super) fn settle(
    plugin: &bindings::Plugin,
    store: &mut Store<Limits>,
    asked: &Call<'_>,
    quoted: &Quote,
    outcome: &CallOutcome,
) -> wasmtime::Result<Result<present::Settlement, present::Refusal>> {
    let outcome = wit::Outcome {
        status: outcome.status,
        request_bytes: outcome.request_bytes,
        response_bytes: outcome.response_bytes,
        complete: outcome.complete,
        input_tokens: outcome.usage.input_tokens,
        output_tokens: outcome.usage.output_tokens,
    };
    let answered = plugin.gateway_pricing_price_list().call_settle(store, &call(asked), &price(quoted), outcome)?;
    Ok(answered.map(|price| present::Settlement::Charge(present_price(price))).map_err(present_refusal))
}

fn present_price(price: wit::Price) -> present::Price {
    let items = price.items.into_iter().map(|item| present::Item { label: item.label, price: item.price });
    present::Price { total: price.total, items: items.collect() }
}

fn present_refusal(refusal: wit::Refusal) -> present::Refusal {
    match refusal {
        wit::Refusal::Decline(why) => present::Refusal::Decline(why),
        wit::Refusal::Misconfigured(why) => present::Refusal::Misconfigured(why),
    }
}
