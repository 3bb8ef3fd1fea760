//! What the platform's operators keep: organisations, members, plans, prices. Every write is idempotent: its path names
//! what it makes, and made twice it is there once.

pub(crate) mod event_definitions;
pub(crate) mod members;
pub(crate) mod organizations;
pub(crate) mod plans;
pub(crate) mod pricing;

use std::fmt::Display;
use std::str::FromStr;

use refusal::Refusal;

/// A name from the path.
fn named<T: FromStr<Err: Display>>(name: &str) -> Result<T, Refusal> {
    name.parse().map_err(|why: T::Err| Refusal::InvalidRequest(format!("The path names it wrongly: {why}.")))
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

/// A field that something new must have.
fn required<T>(field: &str, given: Option<T>, what: &str) -> Result<T, Refusal> {
    given.ok_or_else(|| Refusal::InvalidRequest(format!("{field}: missing; {what} needs it.")))
}
