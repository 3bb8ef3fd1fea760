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

/// The system's name for whoever runs this, for the audit trail.
pub(super) fn user() -> Option<String> {
    let names: std::collections::BTreeMap<String, String> = environment().collect();
    ["USER", "LOGNAME"].into_iter().find_map(|key| names.get(key)).filter(|name| !name.is_empty()).cloned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment; everything else takes settings"
)]
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars()
}
