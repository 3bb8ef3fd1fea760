//! `gateway check`: everything that `run` would load, tried without serving; one line a fault.

use std::path::Path;

use anyhow::Context as _;
use ledger::{EventType, SystemClock};
use pricing::Plugin;
use settings::Settings;
use store::{OpenError, SqliteStore};

use super::{Failure, configuration, run};
use crate::Options;

pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let settings = match configuration::load(file) {
        Ok(settings) => settings,
        Err(Failure::Usage(faults)) => return Err(Failure::Faults(faults.lines().map(str::to_owned).collect())),
        Err(other) => return Err(other),
    };
    let faults = run::runtime(1)?.block_on(faults(file, &settings));
    if faults.is_empty() {
        say(&format!("{}: sound", file.display()));
        return Ok(());
    }
    Err(Failure::Faults(faults))
}

#[expect(clippy::print_stdout, reason = "the answer to the person who asked")]
fn say(line: &str) {
    println!("{line}");
}
