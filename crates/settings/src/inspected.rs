//! A configuration that is looked at rather than run: its faults so far, and room for those that are found in the files and
//! addresses that it names.

use crate::Settings;
use crate::faults::{Fault, Faults};
use crate::places::Places;

/// A configuration with its faults. Where a key has one, its default stands in its place: ask before looking further.
pub struct Inspected {
    /// The configuration.
    pub settings: Settings,
    faults: Vec<Fault>,
    places: Places,
}

impl Inspected {
    pub(crate) fn new(settings: Settings, (faults, places): (Vec<Fault>, Places)) -> Self {
        Self { settings, faults, places }
    }

    /// Whether no fault of this key is known.
    pub fn is_sound(&self, key: &str) -> bool {
        self.faults.iter().all(|fault| fault.key != key)
    }

    /// Notes a fault of a key, with the place where it stands.
    pub fn fault(&mut self, key: &str, what: &str, allowed: &str) {
        self.faults.push(self.places.fault(key, what, allowed));
    }

    /// All faults, as they stand in the file; none where it is sound.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        faults.sort_by_key(|fault| fault.line);
        faults
    }

    /// The configuration, if it has no fault.
    pub fn into_settings(self) -> Result<Settings, Faults> {
        if self.faults.is_empty() { Ok(self.settings) } else { Err(Faults(self.faults())) }
    }
}
