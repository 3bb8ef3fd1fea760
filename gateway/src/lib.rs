//! The gateway: a Pingora proxy that knows who calls, what the call costs, whether the organisation can pay, and that
//! writes the charge down for good.
//!
//! Start reading at `proxy` (the hooks), then `journey` (a paid call). This crate must never hold a price or a
//! database statement: prices are the plugin's, statements the store's.

mod proxy;
mod request;

mod authorize;
mod forward;
mod hold;
mod identify;
mod journey;
mod once;
mod quote;
mod read;
mod relay;
mod room;
mod settle;
mod usage;

mod accept;
mod access_log;
mod answer;
mod call;
mod canonical;
mod connection;
mod credit_grants;
mod handover;
mod headers;
mod keys;
mod own;
mod pace;
mod passing;
mod passthrough;
mod routes;
mod rules;
mod socket;
mod stop;
mod tls;
mod upstream;

mod applier;
mod background;
mod books;
mod embedded;
mod gateway;
mod leases;
mod life;
mod metrics;
mod options;
mod organizations;
mod probe;
mod rollout;
mod serve;
mod uptime;

pub mod cli;

pub use options::Options;
pub use probe::{PathReading, read_path};
pub use serve::{Running, StartError, start};
