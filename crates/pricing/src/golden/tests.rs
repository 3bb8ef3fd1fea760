//! The standard price list as golden cases, and cases that do not hold.

use super::*;
use crate::{LoadError, Options};

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins")
}

fn standard() -> Plugin {
    Plugin::load_untested(&Options::new(plugins().join("standard.wasm"))).unwrap()
}

fn differences(cases: &str) -> Vec<String> {
    Cases::parse(cases).unwrap().differences(&standard()).iter().map(ToString::to_string).collect()
}

#[test]
fn the_price_list_reads_as_in_the_app() {
    let cases = Cases::beside(&plugins().join("standard.wasm")).unwrap().unwrap();
    assert!(cases.0.len() >= 14 && cases.count() > 30, "{} event types, {} calls", cases.0.len(), cases.count());
    assert_eq!(cases.differences(&standard()), []);
}

#[test]
fn the_token_price_list_reads_as_its_table() {
    let file = plugins().join("tokens.wasm");
    let cases = Cases::beside(&file).unwrap().unwrap();
    assert!(cases.count() >= 20, "{} calls", cases.count());
    assert_eq!(cases.differences(&Plugin::load_untested(&Options::new(file)).unwrap()), []);
}

#[test]
fn what_differs_is_said_with_both_prices() {
    for (call, want) in [
        ("{ text = 100, credits = 12 }", vec![]),
        ("{ text = 100, credits = 12, items = \"base 10, complexity x1.200 2\" }", vec![]),
        (
            "{ text = 100, credits = \"12.000001\" }",
            vec!["e: text 100: wanted 12.000001, answered 12 (base 10, complexity x1.200 2)"],
        ),
        (
            "{ flags = [\"echo\"], credits = 15, items = \"base 15\" }",
            vec!["e: text 0, flags echo: wanted 15 (base 15), answered 15 (base 10, echo 5)"],
        ),
        ("{ declined = \"no\" }", vec!["e: text 0: wanted declined: no, answered 10 (base 10)"]),
        (
            "{ credits = 10, settled = { credits = 10, estimated = true } }",
            vec!["e: text 0: wanted estimated, answered settled"],
        ),
        ("{ credits = 10, settled = { credits = 9 } }", vec!["e: text 0: wanted settled at 9, answered 10 (base 10)"]),
    ] {
        let cases = format!("[e]\nbase = 10\nclamp = [1_000, 2_500]\nadd_ons = {{ echo = 5 }}\ncalls = [{call}]");
        assert_eq!(differences(&cases), want, "{call}");
    }
}

#[test]
fn no_more_differences_are_told_than_help() {
    let calls = "{ credits = 1 },".repeat(DIFFERENCES_MAX + 1);
    assert_eq!(differences(&format!("[e]\nbase = 10\ncalls = [{calls}]")).len(), DIFFERENCES_MAX);
}

#[test]
fn a_file_that_is_no_list_of_cases_says_where() {
    for (text, why) in [
        ("[e]\nbase = 10\ncalls = [{ credits = 1.5 }]", "credits are a whole number, or a decimal in quotes"),
        ("[e]\nbase = 10\ncalls = [{ text = 1 }]", "e: text 1: give either credits or declined"),
        ("[e]\nbase = 10\ncalls = [{ credits = 1, declined = \"x\" }]", "give either credits or declined"),
        ("[e]\nbase = 10\nprice = 3\ncalls = []", "unknown field `price`"),
        ("[e]\ncalls = []", "missing field `base`"),
        ("base = 10", "line 1"),
        ("", "there is no call in it"),
        ("[e]\nbase = 10\ncalls = []", "there is no call in it"),
    ] {
        let error = Cases::parse(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn a_plugin_that_fails_its_own_cases_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.wasm");
    std::fs::copy(plugins().join("standard.wasm"), &file).unwrap();
    assert!(Plugin::load(&Options::new(&file)).is_ok(), "without cases");
    for (cases, refused) in [
        ("[e]\nbase = 10\ncalls = [{ credits = 10 }]", false),
        ("[e]\nbase = 10\ncalls = [{ credits = 11 }]", true),
        ("not toml", true),
    ] {
        std::fs::write(folder.path().join("mine.cases.toml"), cases).unwrap();
        let loaded = Plugin::load(&Options::new(&file)).map(drop);
        assert_eq!(matches!(loaded, Err(LoadError::Golden(_))), refused, "{cases}: {loaded:?}");
    }
    std::fs::write(folder.path().join("mine.cases.toml"), "#".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() + 1))
        .unwrap();
    assert!(Plugin::load(&Options::new(&file)).err().unwrap().to_string().contains("allowed are 1048576"));
}
