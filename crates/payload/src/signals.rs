//! What of a request's body a price may depend on, in one pass, without a copy of the rest.
//!
//! Rules, the same as JavaScript's where they meet it: of members that stand twice the last one counts; a text is
//! measured in UTF-16 code units; blank is what `trim()` empties. A byte order mark is refused, as is nesting past 128.

use std::collections::BTreeSet;

use ledger::{Scalar, SessionId, Signals};

use crate::json::{self, Fault, Scanner};

/// The longest text scalar that is kept, in bytes; a longer one is left out.
pub const SCALAR_BYTES_MAX: usize = 256;

/// The most bytes that JSON takes for one byte of text: `\u0041`.
const ESCAPE_BYTES: usize = 6;

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
    /// The flags' names, which two pointers may share: it is set where either says so.
    flags: Vec<String>,
    scalars: Vec<String>,
    /// Which texts are the whole body.
    whole_body: Vec<usize>,
}

/// A place in the body: who wants its value, and the places below it.
#[derive(Default)]
pub(crate) struct Node {
    wants: Vec<Want>,
    below: Vec<(String, Self)>,
}

/// What a place is wanted for, by its number among the pointers of its kind.
pub(crate) enum Want {
    Text(usize),
    Flag(usize),
    Scalar(usize),
    Session,
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Found {
    texts: Vec<(u64, u64)>,
    flags: Vec<bool>,
    pub(crate) scalars: Vec<Option<Scalar>>,
    session: Option<SessionId>,
}

impl Found {
    /// Nothing yet, where so many scalars and nothing else are wanted.
    pub(crate) fn of_scalars(count: usize) -> Self {
        Self { scalars: vec![None; count], ..Self::default() }
    }
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
                root.want(pointer, Want::Text(index))?;
            }
        }
        let mut names = |pointers: &[String], want: fn(usize) -> Want| {
            let numbered = pointers.iter().enumerate();
            numbered.map(|(index, pointer)| root.want(pointer, want(index))).collect::<Result<Vec<_>, _>>()
        };
        let flags = names(&rules.flags, Want::Flag)?;
        let scalars = names(&rules.scalars, Want::Scalar)?;
        if let Some(pointer) = &rules.session {
            root.want(pointer, Want::Session)?;
        }
        Ok(Self { root, texts: rules.text.len(), join: rules.join, flags, scalars, whole_body })
    }

    /// Reads a body. It must be one JSON value in UTF-8.
    pub fn extract(&self, body: &[u8]) -> Result<Extracted, InvalidJson> {
        let invalid = |fault: Fault| locate(body, fault);
        if let Err(error) = std::str::from_utf8(body) {
            return Err(invalid(Fault { at: error.valid_up_to(), reason: "bytes that are not UTF-8" }));
        }
        let mut found = Found {
            texts: vec![(0, 0); self.texts],
            flags: vec![false; self.flags.len()],
            scalars: vec![None; self.scalars.len()],
            session: None,
        };
        let mut scanner = Scanner::new(body);
        self.root.read(&mut scanner, &mut found).and_then(|()| scanner.end()).map_err(invalid)?;
        for index in &self.whole_body {
            if let Some(text) = found.texts.get_mut(*index) {
                *text = (count(json::count_text_units(body)), 0);
            }
        }
        let (text_units, item_count) = match self.join {
            TextJoin::First => found.texts.into_iter().find(|(units, _)| *units > 0).unwrap_or_default(),
            TextJoin::Concat => {
                found.texts.iter().fold((0, 0), |(units, items), (more, of)| (units + more, items + of))
            }
        };
        let flags: BTreeSet<&String> =
            self.flags.iter().zip(found.flags).filter_map(|(name, set)| set.then_some(name)).collect();
        let flags = flags.into_iter().cloned().collect();
        let scalars =
            self.scalars.iter().zip(found.scalars).filter_map(|(name, scalar)| Some((name.clone(), scalar?))).collect();
        let signals = Signals { text_units, item_count, flags, scalars, body_bytes: count(body.len()) };
        Ok(Extracted { signals, session: found.session })
    }
}

impl Node {
    /// Adds a want; answers its name, which is the pointer's last segment.
    pub(crate) fn want(&mut self, pointer: &str, want: Want) -> Result<String, PointerError> {
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
        node.wants.push(want);
        Ok(name)
    }

    /// Passes the value at this place and notes what is wanted of it and below it.
    pub(crate) fn read(&self, scanner: &mut Scanner<'_>, found: &mut Found) -> Result<(), Fault> {
        let kind = scanner.peek();
        let from = scanner.at;
        match kind {
            // A member that stands twice counts as it stands last: what the first one gave is forgotten.
            Some(b'{') if !self.below.is_empty() => scanner.object(|scanner, key, _| match self.member(key) {
                Some(node) => {
                    node.forget(found);
                    node.read(scanner, found)
                }
                None => scanner.value().map(drop),
            })?,
            Some(b'[') if !self.below.is_empty() || self.wants_text() => {
                let measured = self.items(scanner, found)?;
                self.note_text(measured, found);
            }
            _ => drop(scanner.value()?),
        }
        let raw = scanner.text.get(from..scanner.at).unwrap_or_default();
        self.note(raw, found);
        Ok(())
    }

    /// Passes an array and what is wanted below it; answers what its strings measure together and how many they are:
    /// blank ones are dropped, the rest is as if joined with one space.
    fn items(&self, scanner: &mut Scanner<'_>, found: &mut Found) -> Result<(u64, u64), Fault> {
        let is_text = self.wants_text();
        let wanted: Vec<(usize, &Self)> =
            self.below.iter().filter_map(|(name, node)| Some((index(name)?, node))).collect();
        let (mut at, mut units, mut items) = (0_usize, 0_u64, 0_u64);
        scanner.array(|scanner| {
            let from = scanner.at;
            match wanted.iter().find(|(index, _)| *index == at) {
                Some((_, node)) => node.read(scanner, found)?,
                None => drop(scanner.value()?),
            }
            at += 1;
            let raw = scanner.text.get(from..scanner.at).unwrap_or_default();
            if is_text && raw.first() == Some(&b'"') && !json::units(raw).all(is_blank) {
                units += count(json::count_units(raw)) + u64::from(items > 0);
                items += 1;
            }
            Ok(())
        })?;
        Ok((units, items))
    }

    fn wants_text(&self) -> bool {
        self.wants.iter().any(|want| matches!(want, Want::Text(_)))
    }

    fn member(&self, key: &[u8]) -> Option<&Self> {
        self.below.iter().find(|(name, _)| json::says(key, name)).map(|(_, node)| node)
    }

    fn note_text(&self, measured: (u64, u64), found: &mut Found) {
        for want in &self.wants {
            if let Want::Text(at) = want {
                set(&mut found.texts, *at, measured);
            }
        }
    }

    fn note(&self, raw: &[u8], found: &mut Found) {
        let is_string = raw.first() == Some(&b'"');
        for want in &self.wants {
            match want {
                Want::Text(at) if is_string => set(&mut found.texts, *at, (count(json::count_units(raw)), 0)),
                Want::Text(_) => {}
                Want::Flag(at) => set(&mut found.flags, *at, raw == b"true"),
                Want::Scalar(at) => set(&mut found.scalars, *at, scalar(raw)),
                Want::Session => found.session = session(raw),
            }
        }
    }

    fn forget(&self, found: &mut Found) {
        for want in &self.wants {
            match want {
                Want::Text(at) => set(&mut found.texts, *at, (0, 0)),
                Want::Flag(at) => set(&mut found.flags, *at, false),
                Want::Scalar(at) => set(&mut found.scalars, *at, None),
                Want::Session => found.session = None,
            }
        }
        for (_, node) in &self.below {
            node.forget(found);
        }
    }
}

fn set<T>(places: &mut [T], at: usize, value: T) {
    if let Some(place) = places.get_mut(at) {
        *place = value;
    }
}

/// The array index that a pointer's segment is, if any: digits without a leading zero.
fn index(segment: &str) -> Option<usize> {
    segment.parse().ok().filter(|index: &usize| index.to_string() == segment)
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
        b'"' => short_text(raw, SCALAR_BYTES_MAX).map(Scalar::Text),
        b'-' | b'0'..=b'9' => {
            let text = std::str::from_utf8(raw).ok().filter(|text| text.len() <= SCALAR_BYTES_MAX)?;
            Some(text.parse().map_or_else(|_| Scalar::Text(text.to_owned()), Scalar::Integer))
        }
        _ => None,
    }
}

fn session(raw: &[u8]) -> Option<SessionId> {
    match raw.first()? {
        b'"' => short_text(raw, SessionId::BYTES_MAX)?.parse().ok(),
        b'-' | b'0'..=b'9' => std::str::from_utf8(raw).ok()?.parse().ok(),
        _ => None,
    }
}

/// A string of at most `bytes_max` bytes. One that must be longer, at six bytes an escape, is not even decoded.
fn short_text(raw: &[u8], bytes_max: usize) -> Option<String> {
    if raw.len() > bytes_max * ESCAPE_BYTES + 2 {
        return None;
    }
    json::text(raw).filter(|text| text.len() <= bytes_max)
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
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1) + 1;
    InvalidJson { line, column, reason: fault.reason }
}

#[cfg(test)]
mod tests;
