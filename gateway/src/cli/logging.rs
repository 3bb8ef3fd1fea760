//! Logs: for people at a terminal, one JSON object a line otherwise. Nothing secret is ever logged.

use std::io::IsTerminal as _;

use settings::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Libraries that are never heard below `info`, whatever is asked for: at `trace` the proxy's writes whole headers,
/// credentials and all, and the compiler's writes hundreds of megabytes while it is given thirty seconds.
const CAPPED: [&str; 11] = [
    "pingora_core",
    "pingora_proxy",
    "pingora_pool",
    "cranelift_codegen",
    "cranelift_frontend",
    "regalloc2",
    "wasmtime",
    "wasmtime_internal_cranelift",
    "ureq",
    "h2",
    "rustls",
];

/// Starts logging to standard error.
pub(super) fn start(log: &Log) {
    let filter = EnvFilter::try_new(capped(&log.level)).unwrap_or_else(|_| EnvFilter::new("info"));
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

/// The level as it may be: without what names a capped library more precisely than its cap, which would win over it,
/// and with the caps.
pub(super) fn capped(level: &str) -> String {
    let lifts = |directive: &&str| {
        let target = directive.split('=').next().unwrap_or_default().trim();
        directive.contains('[') || CAPPED.iter().any(|library| target.starts_with(library))
    };
    let kept = level.split(',').filter(|directive| !lifts(directive)).map(str::to_owned);
    kept.chain(CAPPED.map(|library| format!("{library}=info"))).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_level_lifts_a_cap() {
        for level in [
            "trace",
            "info,pingora_proxy::proxy_h1=trace",
            "info,pingora_core::protocols::http::v1::client=trace",
            "pingora_proxy::=trace",
            "info, pingora_core=debug",
            "info,[request]=trace",
        ] {
            let filter = capped(level);
            let lifted = filter.split(',').filter(|directive| directive.contains("pingora") || directive.contains('['));
            assert!(
                lifted.clone().all(|directive| directive.ends_with("=info") && !directive.contains("::")),
                "{filter}"
            );
            assert!(EnvFilter::try_new(&filter).is_ok(), "{filter}");
        }
        assert!(capped("info,access=off").starts_with("info,access=off,"));
    }
}
