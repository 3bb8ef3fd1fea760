//! The contract's versions, side by side: which one a component was built for, and how it is asked.
//!
//! Whatever a plugin was built for, its values are those of the present contract from here on. A version that was
//! published must never stop loading.

mod v0;
mod v1;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::engine::Limits;
use crate::plugin::{Call, CallOutcome, Quote};

pub(crate) use v1::wit;

/// What a component of contract 0.1 exports.
const V0_EXPORT: &str = "gateway:pricing/price-list@0.1.0";

/// A component, linked as the contract says that it was built for.
pub(crate) enum Contract {
    V0(v0::bindings::PluginPre<Limits>),
    V1(v1::bindings::PluginPre<Limits>),
}

/// An instance of it, for one call.
pub(crate) enum Instance {
    V0(v0::bindings::Plugin),
    V1(v1::bindings::Plugin),
}

impl Contract {
    /// Finds the contract by what the component exports. One that exports neither is told what it lacks of the present.
    pub(crate) fn link(component: &Component, engine: &Engine) -> wasmtime::Result<Self> {
        let linked = Linker::new(engine).instantiate_pre(component)?;
        if component.get_export_index(None, V0_EXPORT).is_some() {
            return v0::bindings::PluginPre::new(linked).map(Self::V0);
        }
        v1::bindings::PluginPre::new(linked).map(Self::V1)
    }

    /// Its version, for people.
    pub(crate) fn version(&self) -> &'static str {
        match self {
            Self::V0(_) => "0.1",
            Self::V1(_) => "1.0",
        }
    }

    pub(crate) fn instantiate(&self, store: &mut Store<Limits>) -> wasmtime::Result<Instance> {
        match self {
            Self::V0(component) => component.instantiate(store).map(Instance::V0),
            Self::V1(component) => component.instantiate(store).map(Instance::V1),
        }
    }
}

impl Instance {
    pub(crate) fn describe(&self, store: &mut Store<Limits>) -> wasmtime::Result<wit::Description> {
        match self {
            Self::V0(plugin) => v0::describe(plugin, store),
            Self::V1(plugin) => plugin.gateway_pricing_price_list().call_describe(store),
        }
    }

    pub(crate) fn quote(
        &self,
        store: &mut Store<Limits>,
        call: &Call<'_>,
    ) -> wasmtime::Result<Result<wit::Price, wit::Refusal>> {
        match self {
            Self::V0(plugin) => v0::quote(plugin, store, call),
            Self::V1(plugin) => plugin.gateway_pricing_price_list().call_quote(store, &v1::call(call)),
        }
    }

    pub(crate) fn settle(
        &self,
        store: &mut Store<Limits>,
        call: &Call<'_>,
        quoted: &Quote,
        outcome: &CallOutcome,
    ) -> wasmtime::Result<Result<wit::Settlement, wit::Refusal>> {
        match self {
            Self::V0(plugin) => v0::settle(plugin, store, call, quoted, outcome),
            Self::V1(plugin) => v1::settle(plugin, store, call, quoted, outcome),
        }
    }
}

/// A call in the words of one contract: their types are alike, and not the same.
macro_rules! in_words_of {
    ($wit:ident) => {
        /// A call, as this contract says it.
        pub(super) fn call(call: &crate::plugin::Call<'_>) -> $wit::Call {
            let crate::plugin::Call { definition, plan, signals } = call;
            let add_on =
                |(flag, price): (&String, &ledger::Credits)| $wit::AddOn { flag: flag.clone(), price: price.micros() };
            $wit::Call {
                definition: $wit::EventDefinition {
                    event_type: definition.event_type.to_string(),
                    base: definition.base_credits.micros(),
                    complexity: definition.complexity.map(|clamp| $wit::Clamp { min: clamp.min.0, max: clamp.max.0 }),
                    add_ons: definition.features.iter().map(add_on).collect(),
                },
                plan: plan.to_string(),
                signals: $wit::Signals {
                    text_units: signals.text_units,
                    item_count: signals.item_count,
                    flags: signals.flags.clone(),
                    scalars: scalars(&signals.scalars),
                    body_bytes: signals.body_bytes,
                },
            }
        }

        /// Scalars, as this contract says them.
        pub(super) fn scalars(
            scalars: &std::collections::BTreeMap<String, ledger::Scalar>,
        ) -> Vec<(String, $wit::Scalar)> {
            let scalar = |scalar: &ledger::Scalar| match scalar {
                ledger::Scalar::Flag(flag) => $wit::Scalar::Flag(*flag),
                ledger::Scalar::Integer(integer) => $wit::Scalar::Integer(*integer),
                ledger::Scalar::Text(text) => $wit::Scalar::Text(text.clone()),
            };
            scalars.iter().map(|(name, value)| (name.clone(), scalar(value))).collect()
        }

        /// A quote, as this contract says it.
        pub(super) fn price(quote: &crate::plugin::Quote) -> $wit::Price {
            let item =
                |item: &ledger::ChargeItem| $wit::Item { label: item.label.clone(), price: item.credits.micros() };
            $wit::Price { total: quote.credits.micros(), items: quote.items.iter().map(item).collect() }
        }
    };
}
use in_words_of;
