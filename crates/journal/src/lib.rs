//! journal.

mod error;
mod health;
mod journal;
mod options;
mod recovery;

mod inner;
mod lane;
mod sync;
mod write;

mod heal;
mod log;
mod ready;

mod disk;
mod frame;
mod segment;

pub use error::JournalError;
pub use health::{Health, Stats};
pub use journal::{Batch, Journal, Observer};
pub use options::Options;
pub use recovery::Recovery;

#[cfg(test)]
mod tests;
