//! What is read from bodies and written into them: signals from a request, what an answer says of its work, `usage` into
//! an answer, events of a stream.
//!
//! Pure functions over bytes. Nothing here parses a body into a tree and prints it again: what is not ours is passed on
//! as the bytes that came.

pub mod content;
pub mod events;
pub mod signals;
pub mod splice;
pub mod usage;

mod json;
