//! One section, read key by key: each with its type, its default and its bounds. What is left over is unknown.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::document::{Document, Item, Origin, Table, Value};
use crate::units;

/// A section being read.
pub(crate) struct Section<'a> {
    document: &'a mut Document,
    name: String,
    keys: Table,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(crate) fn open(document: &'a mut Document, name: &'static str) -> Self {
        let (keys, origin) = document.section(name);
        // A variable that sets one key says nothing about where another should be.
        Self::of(document, name.to_owned(), keys, origin.filter(|origin| matches!(origin, Origin::Line(_))))
    }

    pub(crate) fn of(document: &'a mut Document, name: String, keys: Table, origin: Option<Origin>) -> Self {
        if let Some(origin) = &origin {
            document.note(name.clone(), origin);
        }
        Self { document, name, keys, known: Vec::new() }
    }

    /// Whatever was not asked for is unknown.
    pub(crate) fn close(mut self) {
        let allowed = self.known.join(", ");
        for (key, item) in std::mem::take(&mut self.keys) {
            self.document.fault_at(&item.origin, &format!("{}.{key}", self.name), "is unknown", &allowed);
        }
    }

    /// Notes a fault of a key that was read: where it stands, or where its section begins if it stands nowhere.
    pub(crate) fn wrong(&mut self, key: &str, what: &str, allowed: &str) {
        self.document.fault(&format!("{}.{key}", self.name), what, allowed);
    }

    /// Whether a key that was not read yet is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether no fault of a key that was read is known.
    pub(crate) fn is_sound(&self, key: &str) -> bool {
        self.document.is_sound(&format!("{}.{key}", self.name))
    }

    pub(crate) fn take(&mut self, key: &'static str) -> Option<Item> {
        let item = self.keys.remove(key);
        if let Some(item) = &item {
            self.document.note(format!("{}.{key}", self.name), &item.origin);
        }
        self.known.push(key);
        item
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        let item = self.take(key)?;
        match (item.value, item.origin) {
            // A variable that happens to read as a number is still a text.
            (Value::Text(text), _) | (_, Origin::Variable(_, text)) => Some(text),
            _ => {
                self.wrong(key, "is no text", "a text in quotes");
                None
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn required(&mut self, key: &'static str, allowed: &str) -> String {
        let is_there = self.has(key);
        match self.text(key) {
            Some(text) if !text.is_empty() => return text,
            Some(_) => self.wrong(key, "is empty", allowed),
            None if is_there => {}
            None => self.wrong(key, "is missing", allowed),
        }
        String::new()
    }

    pub(crate) fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        let path = self.text(key).unwrap_or_else(|| default.to_owned());
        if path.is_empty() {
            self.wrong(key, "is empty", &format!("a path such as {default}"));
        }
        path.into()
    }

    pub(crate) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        self.read(key, default, "an address and port, such as 127.0.0.1:8080", |text| text.parse().ok())
    }

    pub(crate) fn size(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> u64 {
        let allowed = format!(
            "{} from {} to {}",
            units::SIZES,
            units::show_size(*bounds.start()),
            units::show_size(*bounds.end())
        );
        self.read(key, default, &allowed, |text| units::size(text).filter(|bytes| bounds.contains(bytes)))
    }

    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        let (least, most) = (units::show_duration(*bounds.start()), units::show_duration(*bounds.end()));
        let allowed = format!("{} from {least} to {most}", units::DURATIONS);
        self.read(key, default, &allowed, |text| units::duration(text).filter(|duration| bounds.contains(duration)))
    }

    pub(crate) fn count(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> u64 {
        let allowed = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        self.read(key, default, &allowed, |text| text.parse().ok().filter(|count| bounds.contains(count)))
    }

    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.read(key, default, "true or false", |text| text.parse().ok())
    }

    pub(crate) fn choice<T: Copy>(&mut self, key: &'static str, default: T, choices: &[(&str, T)]) -> T {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let pick = |text: &str| choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        self.read(key, default, &names.join(" or "), pick)
    }

    /// A list of texts; a lone text is a list of one.
    pub(crate) fn list(&mut self, key: &'static str) -> Vec<String> {
        let Some(item) = self.take(key) else { return Vec::new() };
        let texts = match item.value {
            Value::Text(text) => Some(vec![text]),
            Value::List(items) => {
                let text = |item: Item| match item.value {
                    Value::Text(text) => Some(text),
                    _ => None,
                };
                items.into_iter().map(text).collect()
            }
            _ => None,
        };
        texts.unwrap_or_else(|| {
            self.wrong(key, "is no list of texts", "a list such as [\"/content\"]");
            Vec::new()
        })
    }

    /// Any value by its text, so that `4096`, `"4096"` and a variable read alike.
    fn read<T>(&mut self, key: &'static str, default: T, allowed: &str, parse: impl FnOnce(&str) -> Option<T>) -> T {
        let Some(item) = self.take(key) else { return default };
        let text = match (&item.value, &item.origin) {
            (Value::Text(text) | Value::Other(text), _) | (_, Origin::Variable(_, text)) => text.clone(),
            (Value::Integer(integer), _) => integer.to_string(),
            (Value::Flag(flag), _) => flag.to_string(),
            (Value::List(_) | Value::Table(_), _) => "a list or table".to_owned(),
        };
        parse(&text).unwrap_or_else(|| {
            self.wrong(key, &format!("is \"{text}\""), allowed);
            default
        })
    }
}
