//! Logs: for people at a terminal, one JSON object a line otherwise. Nothing secret is ever logged.

use std::io::IsTerminal as _;

use settings::{Log, LogFormat};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    let started = lines(log, std::io::stderr, std::io::stderr().is_terminal()).try_init();
    // A second start, in tests, keeps the first one's subscriber.
    if let Err(error) = started {
        tracing::debug!(%error, "logging had been started");
    }
}

/// What writes the lines.
fn lines<W>(log: &Log, writer: W, at_terminal: bool) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(capped(&log.level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !at_terminal,
    };
    // Colours are for eyes: in a file they are noise.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(at_terminal && !json).with_writer(writer);
    if json { Box::new(lines.json().flatten_event(true).finish()) } else { Box::new(lines.finish()) }
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
    use std::sync::Arc;

    use super::*;

    #[test]
    fn colours_are_for_terminals_only() {
        for (format, at_terminal, coloured, is_json) in [
            (LogFormat::Text, true, true, false),
            (LogFormat::Text, false, false, false),
            (LogFormat::Auto, true, true, false),
            (LogFormat::Auto, false, false, true),
            (LogFormat::Json, true, false, true),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let log = Log { level: "info".to_owned(), format };
            let writer = Arc::new(file.reopen().unwrap());
            tracing::subscriber::with_default(lines(&log, writer, at_terminal), || tracing::warn!(a = 1, "said"));
            let said = std::fs::read_to_string(file.path()).unwrap();
            assert!(said.contains("said"), "{said}");
            assert_eq!((said.contains('\u{1b}'), said.starts_with('{')), (coloured, is_json), "{format:?} {said}");
        }
    }

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
