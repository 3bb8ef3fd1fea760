//! Where each key stands: in the file or the environment. It must never keep a value, which may be secret.

use std::collections::BTreeMap;

use crate::document::Origin;
use crate::faults::Fault;

/// The places of the keys and sections that there are.
pub(crate) struct Places {
    file: String,
    /// The file or variable, and the line.
    known: BTreeMap<String, (String, Option<usize>)>,
}

impl Places {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), known: BTreeMap::new() }
    }

    /// Remembers where a key or section stands.
    pub(crate) fn note(&mut self, key: String, origin: &Origin) {
        let place = self.of(origin);
        self.known.insert(key, place);
    }

    /// Whether a key or section stands anywhere.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.known.contains_key(key)
    }

    /// A fault of a key: where it stands, or where its section begins if it stands nowhere.
    pub(crate) fn fault(&self, key: &str, what: &str, allowed: &str) -> Fault {
        let section = || key.rsplit_once('.').and_then(|(section, _)| self.known.get(section));
        let place = self.known.get(key).or_else(section).cloned();
        fault(place.unwrap_or_else(|| (self.file.clone(), None)), key, what, allowed)
    }

    /// A fault of a value that stands there.
    pub(crate) fn fault_at(&self, origin: &Origin, key: &str, what: &str, allowed: &str) -> Fault {
        fault(self.of(origin), key, what, allowed)
    }

    fn of(&self, origin: &Origin) -> (String, Option<usize>) {
        match origin {
            Origin::Line(line) => (self.file.clone(), Some(*line)),
            Origin::Variable(name, _) => (name.clone(), None),
        }
    }
}

fn fault((origin, line): (String, Option<usize>), key: &str, what: &str, allowed: &str) -> Fault {
    Fault { origin, line, key: key.to_owned(), what: what.to_owned(), allowed: allowed.to_owned() }
}
