//! The statements, a file an aggregate: their texts at the top, and a function each on an open connection.
//!
//! Markers are `$1`, amounts and times 64-bit integers, documents JSON text; a list travels as one JSON parameter and a
//! batch in the form that the dialect has for it, so that each is one statement.
//!
//! Every aggregate is generic over [`crate::dialect::Dialect`], with the same `where` clause: the connection runs
//! statements, three types (texts, texts that may be absent, 64-bit integers; bytes for plugins alone) go in and come out, and
//! columns are found by number. Rust makes no caller believe what a trait says of types other than its own, so the clause is repeated where
//! statements are run. That is the whole price of writing each of them once.

pub(crate) mod adjustments;
pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod balances;
pub(crate) mod credit_grants;
pub(crate) mod definitions;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod idempotency;
pub(crate) mod members;
pub(crate) mod organizations;
pub(crate) mod plans;
pub(crate) mod plugins;
pub(crate) mod reconciliation;
pub(crate) mod recorded;
pub(crate) mod rollups;
pub(crate) mod versions;

use ledger::{Credits, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::damaged;

/// A document as text.
fn to_text(document: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(document).map_err(|error| damaged("document", error))
}

/// A document from its text.
fn from_text<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(what, error))
}

/// An identifier from its text.
fn id<T: std::str::FromStr<Err: std::fmt::Display>>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| damaged(what, error))
}

/// A count, which is never below zero.
fn count(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|error| damaged("count", error))
}

/// An amount.
fn credits(stored: i64) -> Credits {
    Credits::from_micros(stored)
}
