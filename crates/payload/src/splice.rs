//! `usage` into a JSON answer, without disturbing a byte of the rest: no reordering, no other text of a number.
//!
//! A `usage` object that is there already keeps its other fields, in their place and as they were written. Where a name
//! stands twice, the last one is meant, as in JavaScript.

use crate::json::{Fault, Scanner, says};

/// The member that is added.
const MEMBER: &str = "usage";

/// The body with our members in its `usage`. `None` where the body is no JSON object in UTF-8: it goes out as it came.
///
/// `usage` is our object's text, such as `{"creditsConsumed":28}`.
pub fn splice_usage(body: &[u8], usage: &str) -> Option<Vec<u8>> {
    std::str::from_utf8(body).ok()?;
    let document = Places::find(body, &[MEMBER]).ok()?;
    let edits = match document.value(0) {
        None => vec![document.append(&format!("\"{MEMBER}\":{usage}"))],
        Some((from, to)) if body.get(from) == Some(&b'{') => merge(body, from, to, usage)?,
        Some((from, to)) => vec![Edit { from, to, text: usage.to_owned() }],
    };
    Some(apply(body, edits))
}

/// A replacement of `from..to`.
struct Edit {
    from: usize,
    to: usize,
    text: String,
}

/// Where an object has the members of certain names. The others are passed, not remembered: there may be millions.
struct Places {
    values: Vec<Option<(usize, usize)>>,
    is_empty: bool,
    /// Where its closing brace is.
    end: usize,
}

impl Places {
    /// Reads a text that is one object. Of members of the same name it finds the last.
    fn find(text: &[u8], names: &[impl AsRef<str>]) -> Result<Self, Fault> {
        let mut scanner = Scanner::new(text);
        let mut places = Self { values: vec![None; names.len()], is_empty: true, end: 0 };
        scanner.object(|scanner, key| {
            let value = scanner.value()?;
            let wanted = names.iter().zip(&mut places.values).find(|(name, _)| says(key, name.as_ref()));
            if let Some((_, place)) = wanted {
                *place = Some(value);
            }
            places.is_empty = false;
            Ok(())
        })?;
        places.end = scanner.at - 1;
        scanner.end()?;
        Ok(places)
    }

    /// Where the value of the name with that number is.
    fn value(&self, number: usize) -> Option<(usize, usize)> {
        *self.values.get(number)?
    }

    /// New members before the closing brace.
    fn append(&self, members: &str) -> Edit {
        let comma = if self.is_empty { "" } else { "," };
        Edit { from: self.end, to: self.end, text: format!("{comma}{members}") }
    }
}

/// Our members into the object at `from..to`: replaced where they are, appended where they are not.
fn merge(body: &[u8], from: usize, to: usize, usage: &str) -> Option<Vec<Edit>> {
    let (names, values) = members(usage).ok()?;
    let theirs = Places::find(body.get(from..to)?, &names).ok()?;
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    for (number, (name, value)) in names.iter().zip(values).enumerate() {
        match theirs.value(number) {
            Some((there_from, there_to)) => {
                edits.push(Edit { from: from + there_from, to: from + there_to, text: value.to_owned() });
            }
            None => missing.push(format!("\"{name}\":{value}")),
        }
    }
    if !missing.is_empty() {
        let appended = theirs.append(&missing.join(","));
        edits.push(Edit { from: from + appended.from, to: from + appended.to, text: appended.text });
    }
    edits.sort_by_key(|edit| edit.from);
    Some(edits)
}

/// The names and the values' texts of our own object, whose names have no escapes.
fn members(usage: &str) -> Result<(Vec<&str>, Vec<&str>), Fault> {
    let mut scanner = Scanner::new(usage.as_bytes());
    let (mut names, mut values) = (Vec::new(), Vec::new());
    scanner.object(|scanner, key| {
        let (from, to) = scanner.value()?;
        names.push(std::str::from_utf8(key).unwrap_or_default().trim_matches('"'));
        values.push(usage.get(from..to).unwrap_or_default());
        Ok(())
    })?;
    Ok((names, values))
}

fn apply(body: &[u8], edits: Vec<Edit>) -> Vec<u8> {
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut spliced = Vec::with_capacity(body.len() + added);
    let mut at = 0;
    for Edit { from, to, text } in edits {
        spliced.extend_from_slice(body.get(at..from).unwrap_or_default());
        spliced.extend_from_slice(text.as_bytes());
        at = to;
    }
    spliced.extend_from_slice(body.get(at..).unwrap_or_default());
    spliced
}

#[cfg(test)]
mod tests;
