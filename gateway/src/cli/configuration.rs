//! Reads the configuration: file first, environment second.

use std::path::Path;

use settings::Settings;

use super::Failure;

/// The settings of `file` under the process's environment.
pub(super) fn load(file: &Path) -> Result<Settings, Failure> {
    settings::load(file, std::env::vars()).map_err(|faults| Failure::Usage(faults.to_string()))
}
