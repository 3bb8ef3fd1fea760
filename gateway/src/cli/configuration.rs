//! Reads the configuration: file first, environment second.

use std::path::Path;

use settings::Settings;

use super::Failure;

/// The settings of `file` under the process's environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment; everything else takes settings"
)]
pub(super) fn load(file: &Path) -> Result<Settings, Failure> {
    settings::load(file, std::env::vars()).map_err(|faults| Failure::Usage(faults.to_string()))
}
