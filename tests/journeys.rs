//! Journeys: a real gateway behind real listeners, a real database, an upstream that does as it is told, and a clock that
//! the test moves. A journey must never end without `World::end`, which checks the promises of the ledger.

#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod world;

mod access;
mod adjustments;
mod answers;
mod api_keys;
mod backends;
mod bodies;
mod bugs;
mod credits;
mod faults;
mod forgeries;
mod grants;
mod headers;
mod hostile;
mod idempotency;
mod journals;
mod leaving;
mod limits;
mod member_limits;
mod outages;
mod paths;
mod plugins;
mod protocols;
mod quotes;
mod refusals;
mod restarts;
mod rollouts;
mod secrets;
mod seed;
mod several;
mod several_members;
mod streams;
mod swaps;
mod tls;
mod tokens;
mod twins;
mod versions;
