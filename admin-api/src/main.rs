//! The `admin-api` program: the API without a gateway in its process. See `admin-api --help`.

mod serve;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use settings::{Log, LogFormat, Settings};
use tracing_subscriber::EnvFilter;

/// The exit status for a configuration or command line that cannot be used (`EX_USAGE` of sysexits).
const EXIT_UNUSABLE: u8 = 64;
/// The exit status for a start that failed.
const EXIT_FAILED: u8 = 1;

const EXAMPLES: &str = "Examples:
  admin-api --config config/gateway.toml
  GATEWAY__ADMIN__LISTEN=127.0.0.1:8082 admin-api --config config/gateway.toml    beside a gateway on the same machine

It listens on admin.listen, shares the gateway's database and needs the gateway's configuration.
Where it serves, set admin.embedded = false for the gateways. They learn of changes within a second.

Exit status: 0 after a clean stop, 1 for a start that failed, 64 for a command line or configuration that cannot be used.";

/// The admin API alone: usage for an organisation's members; organisations, plans and prices for the operators.
#[derive(Parser)]
#[command(name = "admin-api", version, after_help = EXAMPLES)]
struct Cli {
    /// The configuration, a TOML file. Every key can be overridden by `GATEWAY__SECTION__KEY` in the environment.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(why) => {
            // One that cannot be printed has nobody to read it.
            let _ = why.print();
            return if why.use_stderr() { EXIT_UNUSABLE.into() } else { ExitCode::SUCCESS };
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a binary's start reads the environment, once, here")]
    let settings = match settings::load(&cli.config, std::env::vars()) {
        Ok(settings) => settings,
        Err(faults) => return end(EXIT_UNUSABLE, &faults.to_string()),
    };
    start_logging(&settings.log);
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(EXIT_FAILED, &format!("admin-api: {error:#}")),
    }
}

fn run(settings: &Settings) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let threads = usize::try_from(settings.server.threads)?;
    if threads > 0 {
        runtime.worker_threads(threads);
    }
    runtime.enable_all().build().context("no runtime")?.block_on(serve::until_told_to_stop(settings))
}

#[expect(clippy::print_stderr, reason = "this is what a person at the terminal reads")]
fn end(status: u8, why: &str) -> ExitCode {
    eprintln!("{why}");
    status.into()
}

/// Logs go to standard error: for people at a terminal, one JSON object a line otherwise.
fn start_logging(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let at_terminal = std::io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !at_terminal,
    };
    // Colours are for eyes: in a file they are noise.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(at_terminal).with_writer(std::io::stderr);
    if json {
        lines.json().flatten_event(true).init();
    } else {
        lines.init();
    }
}
