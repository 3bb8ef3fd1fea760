//! Logs: for people at a terminal, one JSON object a line otherwise. Nothing secret is ever logged.

use std::io::IsTerminal as _;

use settings::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error.
pub(super) fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, in tests, keeps the first one's subscriber.
    let started = if json { lines.json().flatten_event(true).try_init() } else { lines.try_init() };
    if let Err(error) = started {
        tracing::debug!(%error, "logging had been started");
    }
}
