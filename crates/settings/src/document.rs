//! The file and the environment as one document, in which every value knows where it comes from.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::faults::{Fault, Faults};

/// What the names of our variables start with.
const PREFIX: &str = "GATEWAY__";

/// A configuration, and the faults found in it so far.
pub(crate) struct Document {
    file: String,
    root: Table,
    faults: Vec<Fault>,
    sections: Vec<&'static str>,
}

/// Keys and values.
pub(crate) type Table = BTreeMap<String, Item>;

/// A value and where it comes from.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// Where a value comes from.
#[derive(Clone)]
pub(crate) enum Origin {
    /// A line of the file.
    Line(usize),
    /// A variable, and its text.
    Variable(String, String),
}

/// A value.
#[derive(Clone)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<Item>),
    Table(Table),
    /// A date or fraction, which no key takes.
    Other,
}

impl Document {
    /// Reads the file's text and lays the environment over it.
    pub(crate) fn read(
        file: &str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let root = DeTable::parse(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            Faults::one(Fault { line, ..Fault::file(file, error.message().replace('\n', " ")) })
        })?;
        let mut document =
            Self { file: file.to_owned(), root: table(root.get_ref(), text), faults: Vec::new(), sections: Vec::new() };
        for (name, value) in env {
            if let Some(path) = name.strip_prefix(PREFIX) {
                document.overlay(&name, path, value);
            }
        }
        Ok(document)
    }

    /// The table of a section; empty where it is missing.
    pub(crate) fn section(&mut self, name: &'static str) -> Table {
        self.sections.push(name);
        match self.root.remove(name) {
            None => Table::new(),
            Some(Item { value: Value::Table(table), .. }) => table,
            Some(item) => {
                self.fault_at(&item.origin, name, "is no section", &format!("[{name}] and its keys"));
                Table::new()
            }
        }
    }

    /// The items of a list of sections.
    pub(crate) fn sections(&mut self, name: &'static str) -> Vec<Item> {
        self.sections.push(name);
        match self.root.remove(name) {
            None => Vec::new(),
            Some(Item { value: Value::List(items), .. }) => items,
            Some(item) => {
                self.fault_at(&item.origin, name, "is no list", &format!("[[{name}]] and its keys"));
                Vec::new()
            }
        }
    }

    /// Notes a fault that has no place of its own.
    pub(crate) fn fault(&mut self, key: &str, what: &str, allowed: &str) {
        let fault = Fault { key: key.to_owned(), allowed: allowed.to_owned(), ..Fault::file(&self.file, what.to_owned()) };
        self.faults.push(fault);
    }

    /// Notes a fault of a value.
    pub(crate) fn fault_at(&mut self, origin: &Origin, key: &str, what: &str, allowed: &str) {
        let (origin, line) = match origin {
            Origin::Line(line) => (self.file.clone(), Some(*line)),
            Origin::Variable(name, _) => (name.clone(), None),
        };
        self.faults.push(Fault { origin, line, key: key.to_owned(), what: what.to_owned(), allowed: allowed.to_owned() });
    }

    /// Whatever was not asked for is unknown. Then: all faults, or none.
    pub(crate) fn finish(mut self) -> Result<(), Faults> {
        let allowed = self.sections.join(", ");
        for (name, item) in std::mem::take(&mut self.root) {
            self.fault_at(&item.origin, &name, "is unknown", &allowed);
        }
        self.faults.sort_by_key(|fault| fault.line);
        if self.faults.is_empty() { Ok(()) } else { Err(Faults(self.faults)) }
    }

    fn overlay(&mut self, name: &str, path: &str, text: String) {
        let path = path.to_ascii_lowercase();
        let value = parsed(&text);
        let item = Item { origin: Origin::Variable(name.to_owned(), text), value };
        let Some((section, key)) = path.split_once("__") else {
            self.root.insert(path, item);
            return;
        };
        let blank = Item { origin: item.origin.clone(), value: Value::Table(Table::new()) };
        let section = self.root.entry(section.to_owned()).or_insert(blank);
        if let Value::Table(keys) = &mut section.value {
            keys.insert(key.to_owned(), item);
        }
    }
}

/// A variable's text: a TOML value where it is one, plain text otherwise.
fn parsed(text: &str) -> Value {
    let as_toml = format!("value = {text}");
    let parsed = DeTable::parse(&as_toml).ok().and_then(|root| table(root.get_ref(), &as_toml).remove("value"));
    parsed.map_or_else(|| Value::Text(text.to_owned()), |item| item.value)
}

fn table(table: &DeTable<'_>, text: &str) -> Table {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), item(value, key.span().start, text))).collect()
}

fn item(value: &Spanned<DeValue<'_>>, at: usize, text: &str) -> Item {
    let each = |value: &Spanned<DeValue<'_>>| item(value, value.span().start, text);
    let read = match value.get_ref() {
        DeValue::String(string) => Value::Text(string.to_string()),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::Other, Value::Integer)
        }
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(items) => Value::List(items.iter().map(each).collect()),
        DeValue::Table(keys) => Value::Table(table(keys, text)),
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
    };
    Item { origin: Origin::Line(line_of(text, at)), value: read }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
