//! What of a request's body a price may depend on, in one pass, without a copy of the rest.
//!
//! Rules, the same as JavaScript's where they meet it: of members that stand twice the last one counts; a text is
//! measured in UTF-16 code units; blank is what `trim()` empties. A byte order mark is refused, as is nesting past 128.

use std::collections::BTreeMap;

use ledger::{Scalar, SessionId, Signals};

use crate::json::{self, Fault, Scanner};

/// The longest text scalar that is kept, in bytes; a longer one is left out.
pub const SCALAR_BYTES_MAX: usize = 256;

/// What a route's configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalRules {
    /// Pointers (RFC 6901) to the text that sets complexity; `""` is the whole body.
    pub text: Vec<String>,
    /// What several of them mean.
    pub join: TextJoin,
    /// Pointers to feature flags.
    pub flags: Vec<String>,
    /// Pointers to scalars that the plugin may see.
    pub scalars: Vec<String>,
    /// The pointer to the session.
    pub session: Option<String>,
}

/// What several text pointers mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextJoin {
    /// The first that has text.
    #[default]
    First,
    /// All, joined with nothing.
    Concat,
}

/// Not a JSON pointer (RFC 6901): it must be empty or start with `/`, and `~` must be `~0` or `~1`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no JSON pointer: it must be empty or start with /, and ~ must be ~0 or ~1")]
pub struct PointerError(pub String);

/// Not JSON: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at line {line} column {column}")]
pub struct InvalidJson {
    /// Counts from 1.
    pub line: usize,
    /// Counts from 1, in bytes.
    pub column: usize,
    /// Never holds anything of the body.
    pub reason: &'static str,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// What the price may depend on.
    pub signals: Signals,
    /// The session, where there is a sound one.
    pub session: Option<SessionId>,
}

/// A route's rules, ready for use.
pub struct Extractor {
    root: Node,
    texts: usize,
    join: TextJoin,
    /// Which texts are the whole body.
    whole_body: Vec<usize>,
}

/// A place in the body: who wants its value, and the places below it.
#[derive(Default)]
struct Node {
    wants: Vec<Want>,
    below: Vec<(String, Self)>,
}

#[derive(Clone)]
enum Want {
    Text(usize),
    Flag(String),
    Scalar(String),
    Session,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    texts: Vec<(u64, u64)>,
    flags: BTreeMap<String, bool>,
    scalars: BTreeMap<String, Option<Scalar>>,
    session: Option<SessionId>,
}

impl Extractor {
    /// Reads a route's rules.
    pub fn new(rules: SignalRules) -> Result<Self, PointerError> {
        let mut root = Node::default();
        let mut whole_body = Vec::new();
        for (index, pointer) in rules.text.iter().enumerate() {
            if pointer.is_empty() {
                whole_body.push(index);
            } else {
                root.want(pointer, |_name| Want::Text(index))?;
            }
        }
        for pointer in &rules.flags {
            root.want(pointer, Want::Flag)?;
        }
        for pointer in &rules.scalars {
            root.want(pointer, Want::Scalar)?;
        }
        if let Some(pointer) = &rules.session {
            root.want(pointer, |_name| Want::Session)?;
        }
        Ok(Self { root, texts: rules.text.len(), join: rules.join, whole_body })
    }

    /// Reads a body. It must be one JSON value in UTF-8.
    pub fn extract(&self, body: &[u8]) -> Result<Extracted, InvalidJson> {
        let invalid = |fault: Fault| locate(body, fault);
        if let Err(error) = std::str::from_utf8(body) {
            return Err(invalid(Fault { at: error.valid_up_to(), reason: "bytes that are not UTF-8" }));
        }
        let mut found = Found { texts: vec![(0, 0); self.texts], ..Found::default() };
        let mut scanner = Scanner::new(body);
        self.root.read(&mut scanner, &mut found).and_then(|()| scanner.end()).map_err(invalid)?;
        for index in &self.whole_body {
            let units = std::str::from_utf8(body).map_or(0, |text| text.encode_utf16().count());
            if let Some(text) = found.texts.get_mut(*index) {
                *text = (count(units), 0);
            }
        }
        let (text_units, item_count) = match self.join {
            TextJoin::First => found.texts.into_iter().find(|(units, _)| *units > 0).unwrap_or_default(),
            TextJoin::Concat => found.texts.iter().fold((0, 0), |(units, items), (more, of)| (units + more, items + of)),
        };
        let flags = found.flags.into_iter().filter_map(|(name, set)| set.then_some(name)).collect();
        let scalars = found.scalars.into_iter().filter_map(|(name, scalar)| Some((name, scalar?))).collect();
        let signals = Signals { text_units, item_count, flags, scalars, body_bytes: count(body.len()) };
        Ok(Extracted { signals, session: found.session })
    }
}

impl Node {
    fn want(&mut self, pointer: &str, want: impl FnOnce(String) -> Want) -> Result<(), PointerError> {
        let bad = || PointerError(pointer.to_owned());
        let mut node = self;
        let mut name = String::new();
        for segment in pointer.strip_prefix('/').ok_or_else(bad)?.split('/') {
            name = unescape(segment).ok_or_else(bad)?;
            let at = node.below.iter().position(|(known, _)| *known == name);
            let at = at.unwrap_or_else(|| {
                node.below.push((name.clone(), Self::default()));
                node.below.len() - 1
            });
            node = node.below.get_mut(at).map(|(_, below)| below).ok_or_else(bad)?;
        }
        node.wants.push(want(name));
        Ok(())
    }

    /// Passes the value at this place and notes what is wanted of it and below it.
    fn read(&self, scanner: &mut Scanner<'_>, found: &mut Found) -> Result<(), Fault> {
        let kind = scanner.peek();
        let from = scanner.at;
        match kind {
            // A member that stands twice counts as it stands last: what the first one gave is forgotten.
            Some(b'{') if !self.below.is_empty() => scanner.object(|scanner, key| match self.member(key) {
                Some(node) => {
                    node.forget(found);
                    node.read(scanner, found)
                }
                None => scanner.value().map(drop),
            })?,
            Some(b'[') if self.wants.iter().any(|want| matches!(want, Want::Text(_))) => {
                let measured = measure_items(scanner)?;
                self.note_text(measured, found);
                return Ok(());
            }
            Some(b'[') if !self.below.is_empty() => self.items(scanner, found)?,
            _ => drop(scanner.value()?),
        }
        let raw = scanner.text.get(from..scanner.at).unwrap_or_default();
        self.note(raw, found);
        Ok(())
    }

    fn items(&self, scanner: &mut Scanner<'_>, found: &mut Found) -> Result<(), Fault> {
        let mut index = 0_usize;
        scanner.array(|scanner| {
            let node = self.below.iter().find(|(name, _)| *name == index.to_string()).map(|(_, node)| node);
            index += 1;
            match node {
                Some(node) => node.read(scanner, found),
                None => scanner.value().map(drop),
            }
        })
    }

    fn member(&self, key: &[u8]) -> Option<&Self> {
        self.below.iter().find(|(name, _)| json::says(key, name)).map(|(_, node)| node)
    }

    fn note_text(&self, measured: (u64, u64), found: &mut Found) {
        for want in &self.wants {
            if let Want::Text(index) = want
                && let Some(text) = found.texts.get_mut(*index)
            {
                *text = measured;
            }
        }
    }

    fn note(&self, raw: &[u8], found: &mut Found) {
        let is_string = raw.first() == Some(&b'"');
        for want in &self.wants {
            match want {
                Want::Text(_) if is_string => self.note_text((count(json::units(raw).count()), 0), found),
                Want::Text(_) => {}
                Want::Flag(name) => drop(found.flags.insert(name.clone(), raw == b"true")),
                Want::Scalar(name) => drop(found.scalars.insert(name.clone(), scalar(raw))),
                Want::Session => found.session = session(raw),
            }
        }
    }

    fn forget(&self, found: &mut Found) {
        for want in &self.wants {
            match want {
                Want::Text(index) => found.texts.get_mut(*index).into_iter().for_each(|text| *text = (0, 0)),
                Want::Flag(name) => drop(found.flags.remove(name)),
                Want::Scalar(name) => drop(found.scalars.remove(name)),
                Want::Session => found.session = None,
            }
        }
        for (_, node) in &self.below {
            node.forget(found);
        }
    }
}

/// An array of strings: blank items dropped, the rest as if joined with one space; how many are left.
fn measure_items(scanner: &mut Scanner<'_>) -> Result<(u64, u64), Fault> {
    let (mut units, mut items) = (0_u64, 0_u64);
    scanner.array(|scanner| {
        let (from, to) = scanner.value()?;
        let raw = scanner.text.get(from..to).unwrap_or_default();
        if raw.first() == Some(&b'"') && !json::units(raw).all(is_blank) {
            units += count(json::units(raw).count()) + u64::from(items > 0);
            items += 1;
        }
        Ok(())
    })?;
    Ok((units, items))
}

/// What JavaScript's `trim()` removes: its white space and line terminators (ECMA-262 §12.2, §12.3).
fn is_blank(unit: u16) -> bool {
    matches!(
        unit,
        0x09..=0x0d | 0x20 | 0xa0 | 0x1680 | 0x2000..=0x200a | 0x2028 | 0x2029 | 0x202f | 0x205f | 0x3000 | 0xfeff
    )
}

fn scalar(raw: &[u8]) -> Option<Scalar> {
    match raw.first()? {
        b't' => Some(Scalar::Flag(true)),
        b'f' => Some(Scalar::Flag(false)),
        b'"' => json::text(raw).filter(|text| text.len() <= SCALAR_BYTES_MAX).map(Scalar::Text),
        b'-' | b'0'..=b'9' => {
            let text = std::str::from_utf8(raw).ok().filter(|text| text.len() <= SCALAR_BYTES_MAX)?;
            Some(text.parse().map_or_else(|_| Scalar::Text(text.to_owned()), Scalar::Integer))
        }
        _ => None,
    }
}

fn session(raw: &[u8]) -> Option<SessionId> {
    match raw.first()? {
        b'"' => json::text(raw)?.parse().ok(),
        b'-' | b'0'..=b'9' => std::str::from_utf8(raw).ok()?.parse().ok(),
        _ => None,
    }
}

fn unescape(segment: &str) -> Option<String> {
    let sound = segment.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    sound.then(|| segment.replace("~1", "/").replace("~0", "~"))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn locate(body: &[u8], fault: Fault) -> InvalidJson {
    let before = body.get(..fault.at.min(body.len())).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    InvalidJson { line, column, reason: fault.reason }
}

#[cfg(test)]
mod tests;
