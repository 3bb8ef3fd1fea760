//! The command line. Secrets never come this way: they are in files or the environment.

mod check;
mod configuration;
mod demo;
mod drill;
mod logging;
mod maintain;
mod plugin;
mod reconcile;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The exit status for a configuration or command line that cannot be used (`EX_USAGE` of sysexits).
const EXIT_UNUSABLE: u8 = 64;
/// The exit status for what failed, and for what was checked and does not hold.
const EXIT_FAILED: u8 = 1;

const EXAMPLES: &str = "Examples:
  gateway demo                                   try everything, with a stand-in backend
  gateway --config config/gateway.toml           serve
  gateway check --config config/gateway.toml     say what is wrong with a configuration
  gateway drill --config config/gateway.toml     prove that no limit is overspent
  gateway reconcile --config config/gateway.toml recompute the books from the usage events
  gateway maintain --config config/gateway.toml  make room for the coming months, drop old ones
  gateway plugin inspect pricing-plugins/standard.wasm
  GATEWAY__SERVER__LISTEN=0.0.0.0:80 gateway --config config/gateway.toml

Exit status, of every command:
  0   it is done, and what was checked holds
  1   it failed, or what was checked does not hold: a fault, a difference, a broken promise
  64  the command line or the configuration cannot be used (check: 1, because faults are what it looks for)";

/// A gateway in front of an AI backend: who calls, what it costs, whether the organisation can pay, and the charge
/// written down for good.
#[derive(Parser)]
#[command(name = "gateway", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Option<Configuration>,
}

#[derive(Args)]
struct Configuration {
    /// The configuration, a TOML file. Every key can be overridden by `GATEWAY__SECTION__KEY` in the environment.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default).
    #[command(after_help = "Example:\n  gateway run --config config/gateway.toml")]
    Run(Configuration),
    /// Validate everything that `run` would load; one line a fault.
    #[command(after_help = "Example:\n  gateway check --config config/gateway.toml && echo sound")]
    Check(Configuration),
    /// Start everything a newcomer needs: backend, organisations, users, gateway, admin API.
    #[command(after_help = "Example:\n  gateway demo --listen 127.0.0.1:8080")]
    Demo(demo::Demo),
    /// Prove the limit: many calls at once, through gateways that are running, at a balance for a few.
    #[command(after_help = "Examples:
  gateway drill --config config/gateway.toml
  gateway drill --config config/gateway.toml --calls 500 --credit-for 20 --instance http://10.0.0.1:8080 --instance http://10.0.0.2:8080

As many calls as there is credit for reach the backend. The organisation is the drill's own, and is closed afterwards.
The exit status is 1 where the promise broke or could not be proven.")]
    Drill(drill::Drill),
    /// Recompute what was used from the usage events alone, and say where balances and daily rollups differ.
    #[command(after_help = "Examples:
  gateway reconcile --config config/gateway.toml
  gateway reconcile --config config/gateway.toml --from 2026-01 --to 2026-03 --organization acme
  gateway reconcile --config config/gateway.toml --repair-rollups

It may run beside gateways. The exit status is 0 where no credit is unexplained and no count differs, and 1 otherwise.
With --json there is a JSON object a line, the total last.")]
    Reconcile(reconcile::Reconcile),
    /// Make room in the database for the coming months, and drop the usage events that are past retention.
    #[command(after_help = "Examples:
  gateway maintain --config config/gateway.toml --dry-run
  gateway maintain --config config/gateway.toml --json

Gateways do the same in the background, when they start and every fifteen minutes; it may run beside them. On SQLite
there is nothing to do. The exit status is 0 where all was done.")]
    Maintain(maintain::Maintain),
    /// Look at a pricing plugin and try it, without a gateway; let it set prices, step by step.
    #[command(subcommand)]
    Plugin(plugin::Plugin),
}

/// What is logged at this level: no more than that, and never what libraries would say of headers.
pub fn log_filter(level: &str) -> String {
    logging::capped(level)
}

/// Reads the command line. What is wrong with it is said, and the status to exit with is answered.
pub fn parse<I>(words: I) -> Result<Cli, ExitCode>
where
    I: IntoIterator<Item: Into<OsString> + Clone>,
{
    Cli::try_parse_from(words).map_err(|why| {
        // One that cannot be printed has nobody to read it.
        let _ = why.print();
        if why.use_stderr() { EXIT_UNUSABLE.into() } else { ExitCode::SUCCESS }
    })
}

/// Runs the program.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match (cli.command, cli.run) {
        (Some(Command::Run(of)), _) | (None, Some(of)) => run::run(&of.config),
        (Some(Command::Check(of)), _) => check::run(&of.config),
        (Some(Command::Demo(demo)), _) => demo::run(&demo),
        (Some(Command::Drill(drill)), _) => drill::run(&drill),
        (Some(Command::Reconcile(reconcile)), _) => reconcile::run(&reconcile),
        (Some(Command::Maintain(maintain)), _) => maintain::run(&maintain),
        (Some(Command::Plugin(plugin)), _) => plugin::run(&plugin),
        (None, None) => {
            Err(Failure::Usage("say which configuration: gateway --config FILE, or try: gateway demo".to_owned()))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Says something to the person who asked.
#[expect(clippy::print_stdout, reason = "this is what a person at the terminal reads")]
fn say(line: &str) {
    println!("{line}");
}

/// Why the program ends without success.
enum Failure {
    /// The configuration or command line cannot be used: a line a fault.
    Usage(String),
    /// What was checked has faults: a line a fault, on standard output.
    Faults(Vec<String>),
    /// Something failed.
    Failed(anyhow::Error),
}

impl Failure {
    /// A word of the command line that cannot be used, and why.
    fn word(word: &str, why: impl std::fmt::Display) -> Self {
        Self::Usage(format!("{word}: {why}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

#[expect(clippy::print_stderr, clippy::print_stdout, reason = "this is what a person at the terminal reads")]
impl Failure {
    fn report(self) -> ExitCode {
        match self {
            Self::Usage(why) => {
                eprintln!("{why}");
                EXIT_UNUSABLE.into()
            }
            Self::Faults(faults) => {
                for fault in faults {
                    println!("{fault}");
                }
                EXIT_FAILED.into()
            }
            Self::Failed(error) => {
                eprintln!("gateway: {error:#}");
                EXIT_FAILED.into()
            }
        }
    }
}
