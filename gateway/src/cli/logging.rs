//! Logs: for people at a terminal, one JSON object a line otherwise. Nothing secret is ever logged.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How log lines look: `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Text at a terminal, JSON otherwise.
    Auto,
    Json,
    Text,
}

/// Starts logging to standard error. `level` is a level or a filter, such as `info` or `info,access=off`.
pub(super) fn start(level: &str, format: Format) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let json = match format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, in tests, keeps the first one's subscriber.
    let started = if json { lines.json().flatten_event(true).try_init() } else { lines.try_init() };
    if let Err(error) = started {
        tracing::debug!(%error, "logging had been started");
    }
}
