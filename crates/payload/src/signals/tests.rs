use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rules() -> SignalRules {
    SignalRules {
        text: vec!["/content".into()],
        flags: vec!["/echo".into(), "/traceback".into()],
        scalars: vec!["/model".into(), "/options/n".into()],
        session: Some("/sessionId".into()),
        ..SignalRules::default()
    }
}

fn extract(rules: SignalRules, body: &str) -> Extracted {
    Extractor::new(rules).unwrap().extract(body.as_bytes()).unwrap()
}

#[test]
fn text_is_measured_as_the_app_does() {
    let cases = [
        (r#"{"content":["ab","c"]}"#, 4, 2),
        (r#"{"content":["ab"," \t\u00a0\ufeff","c"]}"#, 4, 2),
        (r#"{"content":["\u0085"]}"#, 1, 1),
        (r#"{"content":[" a "]}"#, 3, 1),
        (r#"{"content":["😀","\ud83d"]}"#, 4, 2),
        (r#"{"content":["a",1,null,["b"],{"c":"d"}]}"#, 1, 1),
        (r#"{"content":"héllo"}"#, 5, 0),
        (r#"{"content":[]}"#, 0, 0),
        (r#"{"content":null}"#, 0, 0),
        (r#"{"content":{"a":"b"}}"#, 0, 0),
        (r#"{"other":"x"}"#, 0, 0),
        (r#"["content"]"#, 0, 0),
        (r#"{"content":["long one"],"content":"ab"}"#, 2, 0),
        (r#"{"content":"ab","content":null}"#, 0, 0),
        (r#"{"\u0063ontent":"abc"}"#, 3, 0),
        (r#"{"nested":{"content":"no"}}"#, 0, 0),
    ];
    for (body, units, items) in cases {
        let signals = extract(rules(), body).signals;
        assert_eq!((signals.text_units, signals.item_count), (units, items), "{body}");
        assert_eq!(signals.body_bytes, count(body.len()));
    }
}

#[test]
fn several_pointers_mean_the_first_with_text_or_all_of_them() {
    let text = |pointers: &[&str], join| SignalRules {
        text: pointers.iter().map(ToString::to_string).collect(),
        join,
        ..SignalRules::default()
    };
    let cases = [
        (&["/a", "/b"][..], TextJoin::First, r#"{"a":"xy","b":"z"}"#, 2),
        (&["/a", "/b"], TextJoin::First, r#"{"b":"z","a":[]}"#, 1),
        (&["/a", "/b"], TextJoin::First, r#"{"b":"z"}"#, 1),
        (&["/a", "/b"], TextJoin::Concat, r#"{"a":"xy","b":["z","z"]}"#, 5),
        (&[""], TextJoin::First, r#"{"a":"é"}"#, 9),
        (&["/a/b"], TextJoin::First, r#"{"a":{"b":"deep"}}"#, 4),
        (&["/a/1"], TextJoin::First, r#"{"a":["no","yes"]}"#, 3),
        (&["/a~1b~0"], TextJoin::First, r#"{"a/b~":"x"}"#, 1),
    ];
    for (pointers, join, body, units) in cases {
        assert_eq!(extract(text(pointers, join), body).signals.text_units, units, "{pointers:?} {body}");
    }
}

#[test]
fn one_place_may_be_wanted_for_several_things_and_one_name_stand_for_several_places() {
    let rules = || SignalRules {
        text: vec!["/content/0".into(), "/content".into()],
        join: TextJoin::Concat,
        flags: vec!["/a/echo".into(), "/b/echo".into()],
        scalars: vec!["/content/0".into(), "/content".into()],
        session: Some("/content/0".into()),
    };
    let found = extract(rules(), r#"{"content":["ab","c"]}"#);
    assert_eq!((found.signals.text_units, found.signals.item_count), (6, 2));
    assert_eq!(found.session.unwrap().as_str(), "ab");
    assert_eq!(found.signals.scalars, [("0".to_owned(), Scalar::Text("ab".into()))].into());
    for body in [
        r#"{"a":{"echo":true},"b":{"echo":false}}"#,
        r#"{"b":{"echo":true},"a":{"echo":false}}"#,
        r#"{"b":{"echo":true},"a":{"echo":true}}"#,
    ] {
        assert_eq!(extract(rules(), body).signals.flags, ["echo"], "the order of members sets no price: {body}");
    }
    let forgotten = extract(rules(), r#"{"a":{"echo":true},"content":["ab"],"a":{},"content":{}}"#);
    assert_eq!((forgotten.signals.text_units, forgotten.signals.flags.len(), forgotten.session), (0, 0, None));
}

#[test]
fn only_an_index_as_rfc_6901_writes_it_finds_an_item() {
    for (pointer, units) in [("/a/0", 2), ("/a/1", 0), ("/a/00", 0), ("/a/+0", 0), ("/a/-", 0), ("/a/", 0)] {
        let rules = SignalRules { text: vec![pointer.into()], ..SignalRules::default() };
        assert_eq!(extract(rules, r#"{"a":["xy"]}"#).signals.text_units, units, "{pointer}");
    }
}

#[test]
fn flags_are_true_or_not_set() {
    let cases: [(&str, &[&str]); 5] = [
        (r#"{"echo":true,"traceback":true}"#, &["echo", "traceback"]),
        (r#"{"echo":false}"#, &[]),
        (r#"{"echo":"true","traceback":1}"#, &[]),
        (r#"{"echo":true,"echo":false}"#, &[]),
        (r#"{"echo":false,"echo":true}"#, &["echo"]),
    ];
    for (body, want) in cases {
        assert_eq!(extract(rules(), body).signals.flags, want, "{body}");
    }
}

#[test]
fn sessions_and_scalars_are_taken_as_they_are_written() {
    let long = "x".repeat(SCALAR_BYTES_MAX);
    let cases = [
        (r#"{"sessionId":"s-1","model":"m","options":{"n":3}}"#.to_owned(), Some("s-1"), 2),
        (r#"{"sessionId":42,"model":true}"#.to_owned(), Some("42"), 1),
        (r#"{"sessionId":"","model":1.50}"#.to_owned(), None, 1),
        (r#"{"sessionId":null,"model":[1]}"#.to_owned(), None, 0),
        (format!(r#"{{"model":"{long}"}}"#), None, 1),
        (format!(r#"{{"model":"{long}x"}}"#), None, 0),
        (format!(r#"{{"model":"{}"}}"#, r"\u0041".repeat(SCALAR_BYTES_MAX)), None, 1),
        (format!(r#"{{"model":"{}"}}"#, r"\u0041".repeat(SCALAR_BYTES_MAX + 1)), None, 0),
        (format!(r#"{{"sessionId":"{}"}}"#, "x".repeat(SessionId::BYTES_MAX + 1)), None, 0),
        (r#"{"sessionId":"\ud83d","model":"\ud83d"}"#.to_owned(), None, 0),
    ];
    for (body, session, scalars) in cases {
        let found = extract(rules(), &body);
        assert_eq!(found.session.as_ref().map(SessionId::as_str), session, "{body}");
        assert_eq!(found.signals.scalars.len(), scalars, "{body}");
    }
    let number = extract(rules(), r#"{"model":1.50}"#).signals.scalars;
    assert_eq!(number.get("model"), Some(&Scalar::Text("1.50".into())));
}

#[test]
fn what_is_no_json_says_where_and_why() {
    let cases: [(&[u8], usize, usize, &str); 6] = [
        (b"", 1, 1, "the text ends too early"),
        (b"{\"a\":1,\n}", 2, 1, "a member's name was expected"),
        (b"\xef\xbb\xbf{}", 1, 1, "a value was expected"),
        (b"{}\n{}", 2, 1, "more after the end of the value"),
        (b"{\"a\":\"\xff\"}", 1, 7, "bytes that are not UTF-8"),
        (b"content=form", 1, 1, "a value was expected"),
    ];
    let extractor = Extractor::new(rules()).unwrap();
    for (body, line, column, reason) in cases {
        assert_eq!(
            extractor.extract(body),
            Err(InvalidJson { line, column, reason }),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn what_is_no_pointer_is_refused() {
    for pointer in ["content", "/a~", "/a~2"] {
        let rules = SignalRules { text: vec![pointer.into()], ..SignalRules::default() };
        assert_eq!(Extractor::new(rules).err(), Some(PointerError(pointer.into())));
    }
}

proptest! {
    // The model: parse the document whole, as JavaScript does, and look.
    #[test]
    fn any_document_gives_what_a_parsed_one_gives(
        items in prop::collection::vec(prop_oneof![any::<String>().prop_map(Value::from), Just(json!(" ")), Just(json!(1))], 0..5),
        echo in prop_oneof![Just(json!(true)), Just(json!(false)), Just(json!("true"))],
        session in prop_oneof![any::<u32>().prop_map(Value::from), "[a-z]{1,5}".prop_map(Value::from)],
    ) {
        let kept: Vec<&str> = items.iter().filter_map(Value::as_str)
            .filter(|item| !item.encode_utf16().all(is_blank)).collect();
        let units = kept.join(" ").encode_utf16().count();
        let body = serde_json::to_vec_pretty(&json!({"content": items, "echo": echo, "sessionId": session})).unwrap();
        let found = Extractor::new(rules()).unwrap().extract(&body).unwrap();
        prop_assert_eq!(found.signals.text_units, count(units));
        prop_assert_eq!(found.signals.item_count, count(kept.len()));
        prop_assert_eq!(found.signals.flags.len(), usize::from(echo == json!(true)));
        prop_assert_eq!(found.session.unwrap().to_string(), session.as_str().map_or_else(|| session.to_string(), str::to_owned));
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Extractor::new(rules()).unwrap().extract(&body);
    }
}
