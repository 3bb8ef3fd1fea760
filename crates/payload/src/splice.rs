//! `usage` into a JSON answer, without disturbing a byte of the rest: no reordering, no other text of a number.
//!
//! A `usage` object that is there already keeps its other fields, in their place and as they were written; the fields that
//! are ours are ours alone, so that a client never takes a figure of the backend's for one of the gateway's. Where `usage`
//! itself stands twice, the last one is meant, as in JavaScript.

use crate::json::{Fault, Scanner, says};

/// The member that is added.
const MEMBER: &str = "usage";
/// The fields of `usage` that nobody but us may set: one that we leave out is taken out.
const OURS: [&str; 4] = ["creditsConsumed", "remainingCredits", "usageEventId", "warning"];

/// The body with our members in its `usage`. `None` where the body is no JSON object in UTF-8: it goes out as it came.
///
/// `usage` is our object's text, such as `{"creditsConsumed":28}`, with no other members than ours.
pub fn splice_usage(body: &[u8], usage: &str) -> Option<Vec<u8>> {
    std::str::from_utf8(body).ok()?;
    let document = Document::read(body).ok()?;
    let edits = match document.usage {
        None => vec![document.append(&format!("\"{MEMBER}\":{usage}"))],
        Some((from, to)) if body.get(from) == Some(&b'{') => merge(body.get(from..to)?, from, usage).ok()?,
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

/// Where the answer has its `usage`. The other members are passed, not remembered: there may be millions.
struct Document {
    usage: Option<(usize, usize)>,
    is_empty: bool,
    /// Where its closing brace is.
    end: usize,
}

impl Document {
    /// Reads a text that is one object. Of several `usage` it finds the last.
    fn read(text: &[u8]) -> Result<Self, Fault> {
        let mut scanner = Scanner::new(text);
        let mut document = Self { usage: None, is_empty: true, end: 0 };
        scanner.object(|scanner, key, _| {
            let value = scanner.value()?;
            if says(key, MEMBER) {
                document.usage = Some(value);
            }
            document.is_empty = false;
            Ok(())
        })?;
        document.end = scanner.at - 1;
        scanner.end()?;
        Ok(document)
    }

    /// A new member before the closing brace.
    fn append(&self, member: &str) -> Edit {
        let comma = if self.is_empty { "" } else { "," };
        Edit { from: self.end, to: self.end, text: format!("{comma}{member}") }
    }
}

/// Our members into their `usage`, which stands at `at` of the body: where the first of a name stands, ours replaces it;
/// what else is under a name of ours goes, with one comma; what is missing comes last.
fn merge(theirs: &[u8], at: usize, usage: &str) -> Result<Vec<Edit>, Fault> {
    let mut ours = members(usage)?;
    let mut edits = Vec::new();
    // Where the last member that stays ends, and where a run of those that go began.
    let (mut kept_to, mut gone_from, mut gone_to) = (None, None, 0);
    let mut scanner = Scanner::new(theirs);
    scanner.object(|scanner, key, key_from| {
        let (from, to) = scanner.value()?;
        match ours.iter_mut().find(|member| says(key, member.name)).map(|member| member.text.take()) {
            // Not ours to set, or set already.
            Some(None) => {
                gone_from = gone_from.or(Some(key_from));
                gone_to = to;
            }
            stays => {
                if let Some(gone_from) = gone_from.take() {
                    edits.push(Edit { from: at + gone_from, to: at + key_from, text: String::new() });
                }
                if let Some(Some(text)) = stays {
                    edits.push(Edit { from: at + from, to: at + to, text: text.to_owned() });
                }
                kept_to = Some(to);
            }
        }
        Ok(())
    })?;
    if let Some(gone_from) = gone_from {
        // Those at the end go with the comma before them.
        edits.push(Edit { from: at + kept_to.unwrap_or(gone_from), to: at + gone_to, text: String::new() });
    }
    let missing = ours.iter().filter_map(|member| Some(format!("\"{}\":{}", member.name, member.text?)));
    let missing = missing.collect::<Vec<_>>().join(",");
    if !missing.is_empty() {
        let comma = if kept_to.is_some() { "," } else { "" };
        let end = at + scanner.at - 1;
        edits.push(Edit { from: end, to: end, text: format!("{comma}{missing}") });
    }
    Ok(edits)
}

/// A member that is ours alone, and its value's text until it is written.
struct Ours<'a> {
    name: &'a str,
    text: Option<&'a str>,
}

/// All that is ours: with its value's text where our own object has it. Our names have no escapes.
fn members(usage: &str) -> Result<[Ours<'_>; 4], Fault> {
    let mut ours = OURS.map(|name| Ours { name, text: None });
    Scanner::new(usage.as_bytes()).object(|scanner, key, _| {
        let (from, to) = scanner.value()?;
        let text = usage.get(from..to);
        if let Some(member) = ours.iter_mut().find(|member| says(key, member.name)) {
            member.text = text;
        }
        Ok(())
    })?;
    Ok(ours)
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
