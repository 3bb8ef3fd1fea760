//! Reads the configuration: file first, environment second.

use std::path::Path;

use settings::{Faults, Inspected, Settings};

use super::Failure;

/// The settings of `file` under the process's environment.
pub(super) fn load(file: &Path) -> Result<Settings, Failure> {
    settings::load(file, environment()).map_err(|faults| Failure::Usage(faults.to_string()))
}

/// The same with its faults, for `check`. Refused only where nothing can be read.
pub(super) fn inspect(file: &Path) -> Result<Inspected, Faults> {
    settings::inspect(file, environment())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment; everything else takes settings"
)]
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars()
}
