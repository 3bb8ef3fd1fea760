//! Logs: for people at a terminal, one JSON object a line otherwise. Nothing secret is ever logged.

use std::io::IsTerminal as _;

use settings::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Libraries that are never heard below `info`, whatever is asked for: at `trace` the proxy's writes whole headers,
/// credentials and all, and the compiler's writes hundreds of megabytes while it is given thirty seconds.
const CAPPED: [&str; 9] = [
    "pingora_core",
    "pingora_proxy",
    "pingora_pool",
    "cranelift_codegen",
    "cranelift_frontend",
    "regalloc2",
    "wasmtime",
    "wasmtime_internal_cranelift",
    "ureq",
];

/// Starts logging to standard error.
pub(super) fn start(log: &Log) {
    let caps: String = CAPPED.iter().map(|library| [",", library, "=info"].concat()).collect();
    // What comes last counts: no configuration lifts a cap.
    let filter = EnvFilter::try_new(format!("{}{caps}", log.level)).unwrap_or_else(|_| EnvFilter::new("info"));
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
