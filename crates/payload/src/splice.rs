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
    let document = Object::read(body).ok()?;
    let edits = match document.last(MEMBER) {
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

/// An object's members: raw keys, and where their values are.
struct Object<'a> {
    members: Vec<(&'a [u8], usize, usize)>,
    /// Where its closing brace is.
    end: usize,
}

impl<'a> Object<'a> {
    /// Reads a text that is one object.
    fn read(text: &'a [u8]) -> Result<Self, Fault> {
        let mut scanner = Scanner::new(text);
        let mut members = Vec::new();
        scanner.object(|scanner, key| {
            let (from, to) = scanner.value()?;
            members.push((key, from, to));
            Ok(())
        })?;
        let end = scanner.at - 1;
        scanner.end()?;
        Ok(Self { members, end })
    }

    /// Where the last member of that name has its value.
    fn last(&self, name: &str) -> Option<(usize, usize)> {
        self.members.iter().rev().find(|(key, ..)| says(key, name)).map(|(_, from, to)| (*from, *to))
    }

    /// New members before the closing brace.
    fn append(&self, members: &str) -> Edit {
        let comma = if self.members.is_empty() { "" } else { "," };
        Edit { from: self.end, to: self.end, text: format!("{comma}{members}") }
    }
}

/// Our members into the object at `from..to`: replaced where they are, appended where they are not.
fn merge(body: &[u8], from: usize, to: usize, usage: &str) -> Option<Vec<Edit>> {
    let theirs = Object::read(body.get(from..to)?).ok()?;
    let ours = Object::read(usage.as_bytes()).ok()?;
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    for (key, value_from, value_to) in &ours.members {
        let (name, value) = (crate::json::text(key)?, usage.get(*value_from..*value_to)?);
        match theirs.last(&name) {
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const OURS: &str = r#"{"creditsConsumed":28,"remainingCredits":72}"#;

    #[test]
    fn usage_is_added_and_nothing_else_changes() {
        let cases = [
            ("{}", r#"{"usage":@}"#),
            (" { } \n", r#" { "usage":@} "#.trim_end()),
            (r#"{"a":1.00,"b":1e2}"#, r#"{"a":1.00,"b":1e2,"usage":@}"#),
            ("{\"a\":1\n}\n", "{\"a\":1\n,\"usage\":@}\n"),
            (r#"{"usage":null}"#, r#"{"usage":@}"#),
            (r#"{"usage":[1],"z":0}"#, r#"{"usage":@,"z":0}"#),
            (r#"{"usage":{},"z":0}"#, r#"{"usage":@,"z":0}"#),
            (r#"{"usage":1,"usage":2}"#, r#"{"usage":1,"usage":@}"#),
            (r#"{"\u0075sage":7}"#, r#"{"\u0075sage":@}"#),
        ];
        for (body, want) in cases {
            let spliced = splice_usage(body.as_bytes(), OURS).map(|spliced| String::from_utf8(spliced).unwrap());
            let spliced = spliced.unwrap_or_default();
            assert_eq!(spliced.trim_end(), want.replace('@', OURS).trim_end(), "{body}");
            assert!(spliced.ends_with(body.get(body.trim_end().len()..).unwrap()), "the end stays: {body}");
        }
    }

    #[test]
    fn a_usage_that_is_there_keeps_its_other_fields() {
        let cases = [
            (
                r#"{"usage": {"tokens": 1.0, "creditsConsumed" : 3 }}"#,
                r#"{"usage": {"tokens": 1.0, "creditsConsumed" : 28 ,"remainingCredits":72}}"#,
            ),
            (r#"{"usage":{"remainingCredits":{"x":[1]},"a":1}}"#, r#"{"usage":{"remainingCredits":72,"a":1,"creditsConsumed":28}}"#),
            (r#"{"usage":{"creditsConsumed":1,"creditsConsumed":2}}"#, r#"{"usage":{"creditsConsumed":1,"creditsConsumed":28,"remainingCredits":72}}"#),
        ];
        for (body, want) in cases {
            assert_eq!(splice_usage(body.as_bytes(), OURS).map(|spliced| String::from_utf8(spliced).unwrap()).as_deref(), Some(want));
        }
    }

    #[test]
    fn what_is_no_whole_object_goes_out_as_it_came() {
        for body in ["", "[]", "1", "\"{}\"", "null", "{", "{}{}", "{} x", "{\"a\":}", "{\"a\":01}", "\u{feff}{}"] {
            assert_eq!(splice_usage(body.as_bytes(), OURS), None, "{body}");
        }
        assert_eq!(splice_usage(b"{\"a\":\"\xff\"}", OURS), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\é😀]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(usage|creditsConsumed|[a-z]{1,3})", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_spliced_document_is_the_original_and_usage(value in json(), pretty: bool) {
            let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let Some(spliced) = splice_usage(&body, OURS) else {
                prop_assert!(!value.is_object());
                return Ok(());
            };
            let mut want = value;
            let ours: Value = serde_json::from_str(OURS).unwrap();
            match &mut want["usage"] {
                Value::Object(theirs) => theirs.extend(ours.as_object().unwrap().clone()),
                other => *other = ours,
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&spliced).unwrap(), want);
        }

        #[test]
        fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = splice_usage(&body, OURS);
        }
    }
}
