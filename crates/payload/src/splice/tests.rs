use std::fmt;

use proptest::prelude::*;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::*;
use crate::json::tests::object_text;

const TOLD: &str = r#"{"creditsConsumed":28,"remainingCredits":72}"#;

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
        let spliced = splice_usage(body.as_bytes(), TOLD).map(|spliced| String::from_utf8(spliced).unwrap());
        let spliced = spliced.unwrap_or_default();
        assert_eq!(spliced.trim_end(), want.replace('@', TOLD).trim_end(), "{body}");
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
            r#"{"usage":{"creditsConsumed":28,"remainingCredits":72}}"#,
        ),
    ];
    for (body, want) in cases {
        assert_eq!(
            splice_usage(body.as_bytes(), TOLD).map(|spliced| String::from_utf8(spliced).unwrap()).as_deref(),
            Some(want)
        );
    }
}

#[test]
fn what_the_backend_says_under_a_name_of_ours_goes() {
    let ours = r#""creditsConsumed":28,"remainingCredits":72"#;
    let cases = [
        (r#"{"warning":{"a":[1,"}"]}}"#, "{@}"),
        (r#"{ "warning" : 1 }"#, "{  @}"),
        (r#"{"warning":1,"tokens":1.0}"#, r#"{"tokens":1.0,@}"#),
        (r#"{"tokens":1.0 , "warning":1 }"#, r#"{"tokens":1.0 ,@}"#),
        (r#"{"a":1, "warning":2, "b":3}"#, r#"{"a":1, "b":3,@}"#),
        (r#"{"warning":1,"usageEventId":"evt_forged","a":1,"warning":2,"usageEventId":3}"#, r#"{"a":1,@}"#),
        (r#"{"\u0077arning":1}"#, "{@}"),
        (r#"{"Warning":1,"warnings":2}"#, r#"{"Warning":1,"warnings":2,@}"#),
        (
            r#"{"warning":1,"a":1,"creditsConsumed":2,"warning":3,"b":2,"creditsConsumed":3}"#,
            r#"{"a":1,"creditsConsumed":28,"b":2,"remainingCredits":72}"#,
        ),
    ];
    for (theirs, want) in cases {
        let body = format!(r#"{{"x":1,"usage":{theirs} ,"z":1.00}}"#);
        let want = format!(r#"{{"x":1,"usage":{} ,"z":1.00}}"#, want.replace('@', ours));
        let spliced = splice_usage(body.as_bytes(), TOLD).map(|spliced| String::from_utf8(spliced).unwrap());
        assert_eq!(spliced.as_deref(), Some(want.as_str()), "{theirs}");
    }
    let warned = r#"{"creditsConsumed":1,"warning":{"percentageUsed":85}}"#;
    let spliced = splice_usage(br#"{"usage":{"a":1,"warning":"theirs","b":2}}"#, warned).unwrap();
    let want = r#"{"usage":{"a":1,"warning":{"percentageUsed":85},"b":2,"creditsConsumed":1}}"#;
    assert_eq!(String::from_utf8(spliced).unwrap(), want);
}

#[test]
fn what_is_no_whole_object_goes_out_as_it_came() {
    for body in ["", "[]", "1", "\"{}\"", "null", "{", "{}{}", "{} x", "{\"a\":}", "{\"a\":01}", "\u{feff}{}"] {
        assert_eq!(splice_usage(body.as_bytes(), TOLD), None, "{body}");
    }
    assert_eq!(splice_usage(b"{\"a\":\"\xff\"}", TOLD), None);
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

/// What must come out of the body, member by member: the last `usage` is replaced in its place, or appended.
fn with_usage(mut members: Vec<(String, String)>, usage: &str) -> Vec<(String, String)> {
    match members.iter_mut().rev().find(|(known, _)| known == "usage") {
        Some((_, there)) => usage.clone_into(there),
        None => members.push(("usage".to_owned(), usage.to_owned())),
    }
    members
}

/// What must come out of a `usage`: the first under each name of ours is replaced in its place, others under those names
/// go, what is missing is appended.
fn with_ours(members: Vec<(String, String)>, mut ours: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut merged = Vec::new();
    for (name, value) in members {
        match ours.iter().position(|(known, _)| *known == name) {
            Some(place) => merged.push(ours.remove(place)),
            None if OURS.contains(&name.as_str()) => {}
            None => merged.push((name, value)),
        }
    }
    merged.extend(ours);
    merged
}

proptest! {
    #[test]
    fn every_member_but_usage_stays_as_it_was_written(body in object_text()) {
        let spliced = String::from_utf8(splice_usage(body.as_bytes(), TOLD).unwrap()).unwrap();
        let before = members_of(&body);
        let theirs = before.iter().rev().find(|(name, _)| name == "usage").map(|(_, value)| value.clone());
        let after = members_of(&spliced);
        let usage = after.iter().rev().find(|(name, _)| name == "usage").map(|(_, value)| value.clone()).unwrap();
        prop_assert_eq!(&after, &with_usage(before.clone(), &usage));
        let (was, added) = match &theirs {
            Some(object) if object.starts_with('{') => {
                prop_assert_eq!(members_of(&usage), with_ours(members_of(object), members_of(TOLD)));
                (object.len(), usage.len())
            }
            Some(other) => (other.len(), TOLD.len()),
            None => (0, "\"usage\":".len() + TOLD.len() + usize::from(!before.is_empty())),
        };
        prop_assert_eq!(spliced.len(), body.len() - was + added, "white space stays");
        let merged = theirs.is_some_and(|theirs| theirs.starts_with('{'));
        prop_assert!(merged || usage == TOLD);
    }

    #[test]
    fn without_a_usage_the_body_stays_to_the_byte(body in object_text()) {
        if members_of(&body).iter().any(|(name, _)| name == "usage") {
            return Ok(());
        }
        let spliced = String::from_utf8(splice_usage(body.as_bytes(), TOLD).unwrap()).unwrap();
        let (inside, after) = body.split_at(body.trim_end().len() - 1);
        let comma = if members_of(&body).is_empty() { "" } else { "," };
        prop_assert_eq!(spliced, format!("{inside}{comma}\"usage\":{TOLD}{after}"));
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = splice_usage(&body, TOLD);
    }
}
