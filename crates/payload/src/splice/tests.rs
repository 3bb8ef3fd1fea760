use std::fmt;

use proptest::prelude::*;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::*;
use crate::json::tests::object_text;

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
        (
            r#"{"usage":{"remainingCredits":{"x":[1]},"a":1}}"#,
            r#"{"usage":{"remainingCredits":72,"a":1,"creditsConsumed":28}}"#,
        ),
        (
            r#"{"usage":{"creditsConsumed":1,"creditsConsumed":2}}"#,
            r#"{"usage":{"creditsConsumed":1,"creditsConsumed":28,"remainingCredits":72}}"#,
        ),
    ];
    for (body, want) in cases {
        assert_eq!(
            splice_usage(body.as_bytes(), OURS).map(|spliced| String::from_utf8(spliced).unwrap()).as_deref(),
            Some(want)
        );
    }
}

#[test]
fn what_is_no_whole_object_goes_out_as_it_came() {
    for body in ["", "[]", "1", "\"{}\"", "null", "{", "{}{}", "{} x", "{\"a\":}", "{\"a\":01}", "\u{feff}{}"] {
        assert_eq!(splice_usage(body.as_bytes(), OURS), None, "{body}");
    }
    assert_eq!(splice_usage(b"{\"a\":\"\xff\"}", OURS), None);
}

/// An object's members in order, each value as it is written.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn members_of(text: &str) -> Vec<(String, String)> {
    let Members(members) = serde_json::from_str(text).unwrap();
    members.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect()
}

/// What must come out, member by member: the last of each name is replaced in its place, what is missing is appended.
fn with(mut members: Vec<(String, String)>, ours: &[(String, String)]) -> Vec<(String, String)> {
    for (name, value) in ours {
        match members.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, there)) => there.clone_from(value),
            None => members.push((name.clone(), value.clone())),
        }
    }
    members
}

proptest! {
    #[test]
    fn every_member_but_usage_stays_as_it_was_written(body in object_text()) {
        let spliced = String::from_utf8(splice_usage(body.as_bytes(), OURS).unwrap()).unwrap();
        let before = members_of(&body);
        let theirs = before.iter().rev().find(|(name, _)| name == "usage").map(|(_, value)| value.clone());
        let after = members_of(&spliced);
        let usage = after.iter().rev().find(|(name, _)| name == "usage").map(|(_, value)| value.clone()).unwrap();
        prop_assert_eq!(&after, &with(before.clone(), &[("usage".to_owned(), usage.clone())]));
        let (was, added) = match &theirs {
            Some(object) if object.starts_with('{') => {
                prop_assert_eq!(members_of(&usage), with(members_of(object), &members_of(OURS)));
                (object.len(), usage.len())
            }
            Some(other) => (other.len(), OURS.len()),
            None => (0, "\"usage\":".len() + OURS.len() + usize::from(!before.is_empty())),
        };
        prop_assert_eq!(spliced.len(), body.len() - was + added, "white space stays");
        let merged = theirs.is_some_and(|theirs| theirs.starts_with('{'));
        prop_assert!(merged || usage == OURS);
    }

    #[test]
    fn without_a_usage_the_body_stays_to_the_byte(body in object_text()) {
        if members_of(&body).iter().any(|(name, _)| name == "usage") {
            return Ok(());
        }
        let spliced = String::from_utf8(splice_usage(body.as_bytes(), OURS).unwrap()).unwrap();
        let (inside, after) = body.split_at(body.trim_end().len() - 1);
        let comma = if members_of(&body).is_empty() { "" } else { "," };
        prop_assert_eq!(spliced, format!("{inside}{comma}\"usage\":{OURS}{after}"));
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = splice_usage(&body, OURS);
    }
}
