//! What the platform's operators keep: organisations, members, plans, prices. Every write is idempotent: its path names
//! what it makes, and made twice it is there once.

pub(crate) mod adjustments;
pub(crate) mod api_keys;
pub(crate) mod credit_grants;
pub(crate) mod event_definitions;
pub(crate) mod members;
pub(crate) mod organizations;
pub(crate) mod plans;
pub(crate) mod pricing;
pub(crate) mod rollout;

use std::fmt::Display;
use std::str::FromStr;

use axum::http::HeaderMap;
use refusal::Refusal;

use crate::bounded::Given;

/// A name from the path.
pub(crate) fn named<T: FromStr<Err: Display>>(name: &str) -> Result<T, Refusal> {
    name.parse().map_err(|why: T::Err| Refusal::InvalidRequest(format!("The path names it wrongly: {why}.")))
}

/// The client's own name for what it makes: 1 to 255 visible ASCII characters.
fn idempotency_key(headers: &HeaderMap) -> Result<String, Refusal> {
    const NAME: &str = "Idempotency-Key";
    const BYTES_MAX: usize = 255;
    let mut given = headers.get_all(NAME).iter();
    let key = given.next().map(|key| key.to_str().unwrap_or_default());
    let why = match key {
        None => "missing; this request needs it, so that a repeat is known to be one",
        Some(key) if key.is_empty() || key.len() > BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            "allowed: 1 to 255 visible ASCII characters"
        }
        Some(_) if given.next().is_some() => "given twice; allowed: one",
        Some(key) => return Ok(key.to_owned()),
    };
    Err(Refusal::InvalidRequest(format!("{NAME}: {why}.")))
}

/// A name that the body repeats must be the path's.
fn repeated<T: PartialEq + Display>(field: &str, path: &T, body: Option<T>) -> Result<(), Refusal> {
    match body {
        Some(body) if body != *path => {
            Err(Refusal::InvalidRequest(format!("{field}: the path says {path}; allowed: the same, or none.")))
        }
        _ => Ok(()),
    }
}

/// A field that must have a value: as given, else as it is at present. Null would be no value.
fn required<T>(field: &str, given: Given<T>, present: Option<T>, what: &str) -> Result<T, Refusal> {
    match (given, present) {
        (Given::Value(value), _) | (Given::Absent, Some(value)) => Ok(value),
        (Given::Absent, None) => Err(Refusal::InvalidRequest(format!("{field}: missing; {what} needs it."))),
        (Given::Null, _) => {
            Err(Refusal::InvalidRequest(format!("{field}: null; allowed: a value, since it has no default.")))
        }
    }
}
