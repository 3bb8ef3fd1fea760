//! The file and the environment as one document, in which every value knows where it comes from.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::faults::{Fault, Faults};
use crate::places::Places;

/// What the names of our variables start with.
const PREFIX: &str = "GATEWAY__";

/// A configuration, and the faults found in it so far.
pub(crate) struct Document {
    places: Places,
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
    /// A date or fraction, which no key takes, as it stands.
    Other(String),
}

impl Document {
    /// Reads the file's text and lays the environment over it.
    pub(crate) fn read(
        file: &str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let source = Source::new(text);
        let root = DeTable::parse(text).map_err(|error| Faults::one(source.fault(file, &error)))?;
        let mut document = Self {
            places: Places::new(file),
            root: source.table(root.get_ref()),
            faults: Vec::new(),
            sections: Vec::new(),
        };
        // In order, so that a key wins over its section whichever the environment lists first.
        for (name, value) in env.into_iter().collect::<BTreeMap<_, _>>() {
            if let Some(path) = name.strip_prefix(PREFIX) {
                document.overlay(&name, path, &value);
            }
        }
        Ok(document)
    }

    /// The table of a section, and where it begins; empty where it is missing.
    pub(crate) fn section(&mut self, name: &'static str) -> (Table, Option<Origin>) {
        self.sections.push(name);
        match self.root.remove(name) {
            None => (Table::new(), None),
            Some(Item { value: Value::Table(table), origin }) => (table, Some(origin)),
            Some(item) => {
                self.fault_at(&item.origin, name, "is no section", &format!("[{name}] and its keys"));
                (Table::new(), Some(item.origin))
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
                self.fault_at(
                    &item.origin,
                    name,
                    "is no list",
                    &format!("[[{name}]] and its keys; in the environment [{{key = \"text\"}}]"),
                );
                Vec::new()
            }
        }
    }

    /// Remembers where a key or section stands.
    pub(crate) fn note(&mut self, key: String, origin: &Origin) {
        self.places.note(key, origin);
    }

    /// Whether a key that was read stands in the file or the environment.
    pub(crate) fn stands(&self, key: &str) -> bool {
        self.places.knows(key)
    }

    /// Whether no fault of this key is known.
    pub(crate) fn is_sound(&self, key: &str) -> bool {
        self.faults.iter().all(|fault| fault.key != key)
    }

    /// Notes a fault of a key that was read, or that is between keys.
    pub(crate) fn fault(&mut self, key: &str, what: &str, allowed: &str) {
        self.faults.push(self.places.fault(key, what, allowed));
    }

    /// Notes a fault of a value.
    pub(crate) fn fault_at(&mut self, origin: &Origin, key: &str, what: &str, allowed: &str) {
        self.faults.push(self.places.fault_at(origin, key, what, allowed));
    }

    /// Whatever was not asked for is unknown. Then: all faults, and where everything stands.
    pub(crate) fn finish(mut self) -> (Vec<Fault>, Places) {
        let allowed = self.sections.join(", ");
        for (name, item) in std::mem::take(&mut self.root) {
            self.fault_at(&item.origin, &name, "is unknown", &allowed);
        }
        (self.faults, self.places)
    }

    fn overlay(&mut self, name: &str, path: &str, text: &str) {
        let path = path.to_ascii_lowercase();
        let item = variable(name, text);
        let Some((section, key)) = path.split_once("__") else {
            self.root.insert(path, item);
            return;
        };
        let blank = Item { origin: item.origin.clone(), value: Value::Table(Table::new()) };
        if let Value::Table(keys) = &mut self.root.entry(section.to_owned()).or_insert(blank).value {
            keys.insert(key.to_owned(), item);
        } else {
            let allowed = format!("all of {section} as one value, in {PREFIX}{}", section.to_ascii_uppercase());
            self.fault_at(&item.origin, &format!("{section}.{key}"), "is no key of a section", &allowed);
        }
    }
}

/// A variable's text: a TOML value where it is one, plain text otherwise.
fn variable(name: &str, text: &str) -> Item {
    let as_toml = format!("value = {text}");
    // More than one key is a text with line breaks that happens to be TOML.
    let parsed = DeTable::parse(&as_toml).ok().filter(|root| root.get_ref().len() == 1);
    let value = parsed.and_then(|root| Source::new(&as_toml).table(root.get_ref()).remove("value"));
    let value = value.map_or_else(|| Value::Text(text.to_owned()), |item| from_variable(name, item).value);
    Item { origin: Origin::Variable(name.to_owned(), text.to_owned()), value }
}

/// What stands inside a variable's value comes from the variable too, not from a line of the file.
fn from_variable(name: &str, item: Item) -> Item {
    let (text, value) = match item.value {
        Value::Text(text) => (text.clone(), Value::Text(text)),
        Value::Integer(integer) => (integer.to_string(), Value::Integer(integer)),
        Value::Flag(flag) => (flag.to_string(), Value::Flag(flag)),
        Value::Other(text) => (text.clone(), Value::Other(text)),
        Value::List(items) => {
            let items = items.into_iter().map(|item| from_variable(name, item));
            (String::new(), Value::List(items.collect()))
        }
        Value::Table(keys) => {
            let keys = keys.into_iter().map(|(key, item)| (key, from_variable(name, item)));
            (String::new(), Value::Table(keys.collect()))
        }
    };
    Item { origin: Origin::Variable(name.to_owned(), text), value }
}

/// A text in TOML, and where its lines end.
struct Source<'a> {
    text: &'a str,
    line_ends: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, line_ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    fn line_of(&self, at: usize) -> usize {
        self.line_ends.partition_point(|end| *end < at) + 1
    }

    /// What is no TOML: where it stands, in words that show no value.
    fn fault(&self, file: &str, error: &toml::de::Error) -> Fault {
        let line = error.span().map(|span| self.line_of(span.start));
        let what = error.message().replace('\n', " ");
        let allowed = if what.starts_with("duplicate") { "each key once" } else { "TOML, such as key = \"text\"" };
        let key = line.map_or_else(String::new, |line| self.key_on(line));
        Fault { line, key, allowed: allowed.to_owned(), ..Fault::file(file, what) }
    }

    /// The key that a line gives, with its section before it, or the section that it begins.
    fn key_on(&self, line: usize) -> String {
        let bare = |name: &str| name.trim().trim_matches(['[', ']', '"', '\'']).to_owned();
        let lines: Vec<&str> = self.text.lines().take(line).collect();
        let Some(this) = lines.last().map(|this| this.trim()) else { return String::new() };
        if this.starts_with('[') {
            return bare(this.split('#').next().unwrap_or_default());
        }
        let Some((key, _)) = this.split_once('=') else { return String::new() };
        let section = lines.iter().rev().map(|line| line.trim()).find(|line| line.starts_with('['));
        section.map_or_else(|| bare(key), |section| format!("{}.{}", bare(section), bare(key)))
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        table.iter().map(|(key, value)| (key.get_ref().to_string(), self.item(value, key.span().start))).collect()
    }

    fn item(&self, value: &Spanned<DeValue<'_>>, at: usize) -> Item {
        let each = |value: &Spanned<DeValue<'_>>| self.item(value, value.span().start);
        let as_it_stands = || Value::Other(self.text.get(value.span()).unwrap_or_default().to_owned());
        let read = match value.get_ref() {
            DeValue::String(string) => Value::Text(string.to_string()),
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).map_or_else(|_| as_it_stands(), Value::Integer)
            }
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Array(items) => Value::List(items.iter().map(each).collect()),
            DeValue::Table(keys) => Value::Table(self.table(keys)),
            DeValue::Float(_) | DeValue::Datetime(_) => as_it_stands(),
        };
        Item { origin: Origin::Line(self.line_of(at)), value: read }
    }
}
