//! A stand-in for the AI backend, and an identity provider in miniature: for the demo, the tests and the bench.
//!
//! The backend is a small real HTTP/1.1 server with the existing app's endpoints. It knows no model: it counts, finds
//! the words that a text keeps coming back to, and says so in sentences, so the same text always gets the same answer.
//! It checks no credential, which is why it must never be part of a deployment.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use standin::{Options, Standin};
//!
//! let standin = Standin::start(Options::default()).await?;
//! println!("the backend answers at http://{}", standin.address());
//! // … calls …
//! assert_eq!(standin.calls(), 0);
//! standin.stop().await;
//! # Ok(())
//! # }
//! ```

mod analysis;
mod answer;
mod endpoints;
mod mint;
mod pages;
mod recorder;
mod server;
mod wishes;

pub use mint::{Mint, MintError, Person};
pub use recorder::Received;
pub use server::{Options, Standin};
pub use wishes::DELAY_MS_MAX;

/// The longest request body that is read, in bytes; more is answered with 413. Well above the gateway's own default.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// The largest page that `/download/{bytes}` makes, in bytes.
pub const DOWNLOAD_BYTES_MAX: u64 = 1 << 30;
