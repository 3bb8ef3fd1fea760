//! The `gateway` program. See `gateway --help`.

use std::process::ExitCode;

use clap::Parser as _;
use gateway::cli::Cli;

fn main() -> ExitCode {
    gateway::cli::run(Cli::parse())
}
