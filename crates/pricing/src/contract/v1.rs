//! Contract 1.x, the present one.

use wasmtime::Store;

use super::in_words_of;
use crate::engine::Limits;
use crate::plugin::{Call, CallOutcome, Quote};

pub(crate) mod bindings {
    //! Generated from `pricing-plugins/wit`, whose comments are the documentation.
    #![allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::as_conversions)]
    wasmtime::component::bindgen!({ path: "../../pricing-plugins/wit", world: "plugin" });
}

pub(crate) use bindings::exports::gateway::pricing::price_list as wit;

in_words_of!(wit);

pub(super) fn settle(
    plugin: &bindings::Plugin,
    store: &mut Store<Limits>,
    asked: &Call<'_>,
    quoted: &Quote,
    outcome: &CallOutcome,
) -> wasmtime::Result<Result<wit::Settlement, wit::Refusal>> {
    let CallOutcome { status, request_bytes, response_bytes, complete, usage } = outcome;
    let usage = wit::Usage {
        model: usage.model.clone(),
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cached_input_tokens: usage.cached_input_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        reasoning_tokens: usage.reasoning_tokens,
        scalars: scalars(&usage.scalars),
    };
    let outcome = wit::Outcome {
        status: *status,
        request_bytes: *request_bytes,
        response_bytes: *response_bytes,
        complete: *complete,
        usage,
    };
    plugin.gateway_pricing_price_list().call_settle(store, &call(asked), &price(quoted), &outcome)
}
