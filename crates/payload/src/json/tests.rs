use super::*;
use proptest::prelude::*;

fn valid(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().and_then(|_| scanner.end()).is_ok()
}

#[test]
fn the_scanner_takes_json_and_nothing_else() {
    let good =
        ["0", "-0.5e+10", "\"\"", "\"\\u00e9\\n\"", "[]", "[ 1 , {} ]", "{\"a\":{\"b\":[null,true,false]}}", " 1 "];
    let bad = [
        "",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "tru",
        "nul",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\"}",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "1 2",
        "[1",
        "{",
        "]",
        "'a'",
        "NaN",
        "\u{feff}1",
        "1x",
        "--1",
    ];
    for text in good {
        assert!(valid(text.as_bytes()), "{text}");
    }
    for text in bad {
        assert!(!valid(text.as_bytes()), "{text}");
    }
}

#[test]
fn depth_is_limited_at_its_limit_and_not_before() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(valid(nested(DEPTH_MAX).as_bytes()));
    assert!(!valid(nested(DEPTH_MAX + 1).as_bytes()));
    assert!(!valid("[".repeat(1_000_000).as_bytes()));
}

#[test]
fn units_are_javascripts() {
    let cases = [
        ("\"abc\"", 3),
        ("\"é\"", 1),
        ("\"😀\"", 2),
        ("\"\\ud83d\\ude00\"", 2),
        ("\"\\ud83d\"", 1),
        ("\"\\\\n\"", 2),
        ("\"\\n\"", 1),
    ];
    for (raw, want) in cases {
        assert_eq!((units(raw.as_bytes()).count(), count_units(raw.as_bytes())), (want, want), "{raw}");
    }
    assert_eq!(text(b"\"a\\u00e9\\ud83d\\ude00\""), Some("aé😀".to_owned()));
    assert_eq!(text(b"\"\\ud83d\""), None);
    let names = [
        (r#""usage""#, true),
        (r#""\u0075sage""#, true),
        (r#""usage2""#, false),
        (r#""usag""#, false),
        (r#""\\usage""#, false),
    ];
    for (raw, want) in names {
        assert_eq!(says(raw.as_bytes(), "usage"), want, "{raw}");
    }
    assert!(
        says(br#""a\\n""#, r"a\n") && !says(br#""a\n""#, r"a\n"),
        "an escape is what it says, not how it is written"
    );
}

/// JSON as it may be written: any white space, any spelling of a number or a string, names that stand twice.
pub(crate) fn object_text() -> impl Strategy<Value = String> {
    let space = || prop_oneof![3 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")];
    let spelled = vec!["é", "😀", r"\n", r#"\""#, r"\\", r"\u00e9", r"\ud83d\ude00"];
    let part = prop_oneof!["[a-z/ {}\\[\\],:]{1,4}", prop::sample::select(spelled).prop_map(String::from)];
    let string = prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat())).boxed();
    let written = string.clone();
    let name = move || {
        prop_oneof![
            3 => written.clone(),
            1 => Just(r#""usage""#.to_owned()),
            1 => Just(r#""\u0075sage""#.to_owned()),
            1 => Just(r#""creditsConsumed""#.to_owned()),
            1 => Just(r#""remaining\u0043redits""#.to_owned()),
            1 => Just(r#""warning""#.to_owned()),
        ]
    };
    let leaf = prop_oneof![string, "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?", "(true|false|null)"];
    let object = move |value: BoxedStrategy<String>| {
        let member = (space(), name(), space(), space(), value, space())
            .prop_map(|(a, name, b, c, value, d)| format!("{a}{name}{b}:{c}{value}{d}"));
        (space(), prop::collection::vec(member, 0..5))
            .prop_map(|(space, members)| format!("{{{space}{}}}", members.join(",")))
    };
    let within = object.clone();
    let value = leaf.prop_recursive(4, 32, 4, move |inner| {
        let array = (prop::collection::vec(inner.clone(), 0..4), space())
            .prop_map(|(items, space)| format!("[{}{space}]", items.join(&format!(",{space}"))));
        prop_oneof![array, within(inner.boxed())]
    });
    (space(), object(value.boxed()), space()).prop_map(|(before, object, after)| format!("{before}{object}{after}"))
}

proptest! {
    // The independent judge is serde_json, which refuses lone surrogates; the generator makes none.
    #[test]
    fn the_scanner_agrees_with_serde_json(text in "[\\[\\]{}\",:0-9a-z.eE+\\- \\\\tnrufalse]{0,24}") {
        let judge = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(valid(text.as_bytes()), judge, "{}", text);
    }

    #[test]
    fn one_byte_more_less_or_other_is_judged_as_serde_json_does(text in object_text(), at: prop::sample::Index, byte: u8, change in 0..4) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match change {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => {}
        }
        let judge = std::str::from_utf8(&bytes).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
        prop_assert_eq!(std::str::from_utf8(&bytes).is_ok() && valid(&bytes), judge, "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_string_is_measured_as_javascript_does(text in any::<String>()) {
        let raw = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(units(raw.as_bytes()).count(), text.encode_utf16().count());
        prop_assert_eq!(count_units(raw.as_bytes()), text.encode_utf16().count());
        prop_assert_eq!(count_text_units(text.as_bytes()), text.encode_utf16().count());
        prop_assert_eq!(super::text(raw.as_bytes()), Some(text));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut scanner = Scanner::new(&bytes);
        let _ = scanner.value();
    }
}
