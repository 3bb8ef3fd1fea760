//! The HTTP API beside the proxy: an organisation's usage for its members, organisations and prices for the operators.
//!
//! The same router serves inside the gateway, on its own port and on the admin listener, and in the `admin-api` program.
//! It decides nothing about paid calls, and it must never make a change that is not audited.

mod context;
mod credentials;
mod listener;
mod live;
mod paths;
mod plugin_options;
mod routes;

mod answer;
mod guard;
mod openapi;
mod operations;
mod stand_alone;

mod bounded;
mod json_body;
mod query;

mod advice;
mod month;
mod overview;

mod api_keys;
mod audit;
mod counter;
mod dashboard;
mod event;
mod history;
mod management;
mod own_usage;
mod quote;

mod operators;

pub use answer::Origin;
pub use context::{Context, PricingStatus};
pub use credentials::access_options;
pub use json_body::BODY_BYTES_MAX;
pub use listener::bounded;
pub use live::{Asked, Live, NotSetAside, Priced, Which};
pub use openapi::document;
pub use operations::{Operations, operations_router};
pub use operators::rollout::{UPLOAD_BYTES_MAX, UPLOAD_PATH};
pub use paths::{is_ours, is_reserved};
pub use plugin_options::pricing_options;
pub use quote::{QUOTE_BYTES_MAX, unknown_call};
pub use routes::router;
pub use stand_alone::{NoGateway, NoLiveBook};

#[cfg(test)]
mod tests;
