//! Who the caller is, and what a role may do.
//!
//! A credential is a JWT (RFC 7519) whose algorithm is fixed by the key, never by the credential (RFC 8725 §3.1). Every
//! fault reads the same from outside. This crate must never make a request that something in a credential names.

mod api_key;
mod authenticator;
mod claims;
mod followed;
mod keys;
mod permissions;
mod presented;
mod source;

pub use api_key::{NewKey, Secret, digest_of};
pub use authenticator::{Authenticator, Options, StartError};
pub use claims::Identity;
pub use permissions::{CallDenied, Permission, Permissions, allows, may_call, permissions_of};
pub use presented::{Presented, Unauthenticated};
pub use source::{KeySource, KeySourceError};
