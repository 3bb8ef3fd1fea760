//! The "model": counts, and the words that a text keeps coming back to. Pure; the same text always gives the same
//! analysis, and no text makes it fail.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

/// How many keywords an analysis names.
const KEYWORDS_MAX: usize = 5;
/// How many of the text's first words an echo repeats.
const FIRST_WORDS_MAX: usize = 12;
/// The shortest word that can be a keyword, in letters.
const KEYWORD_LETTERS_MIN: usize = 4;
/// Words that say nothing of what a text is about.
const COMMON_WORDS: [&str; 40] = [
    "about", "after", "also", "because", "been", "before", "being", "between", "both", "could", "does", "each", "even",
    "every", "from", "have", "into", "just", "many", "more", "most", "much", "must", "only", "other", "over", "same",
    "some", "such", "than", "that", "their", "them", "then", "they", "this", "very", "when", "will", "with",
];

/// What was found in a text.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Analysis {
    pub(crate) summary: String,
    pub(crate) counts: Counts,
    pub(crate) keywords: Vec<Keyword>,
    pub(crate) recommendations: Vec<String>,
    #[serde(rename = "firstWords")]
    pub(crate) first_words: String,
}

/// How much text there is.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) characters: usize,
    pub(crate) words: usize,
    pub(crate) sentences: usize,
}

/// A word, and how often it comes up.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Keyword {
    pub(crate) word: String,
    pub(crate) count: usize,
}

/// Analyses a text.
pub(crate) fn analyze(text: &str) -> Analysis {
    let words: Vec<&str> = text.split_whitespace().collect();
    let sentences = text.split(['.', '!', '?', '\n']).filter(|sentence| !sentence.trim().is_empty()).count();
    let counts = Counts { characters: text.chars().count(), words: words.len(), sentences };
    let keywords = keywords(text);
    Analysis {
        summary: summary(&counts, &keywords),
        recommendations: keywords.iter().take(3).map(recommendation).collect(),
        first_words: words.iter().take(FIRST_WORDS_MAX).copied().collect::<Vec<_>>().join(" "),
        keywords,
        counts,
    }
}

/// All text in a value: strings as they are, lists and objects in their order, a space between.
pub(crate) fn text_in(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => joined(items.iter()),
        Value::Object(members) => joined(members.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

fn joined<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    values.map(text_in).filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join(" ")
}

fn keywords(text: &str) -> Vec<Keyword> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in text.split(|letter: char| !letter.is_alphanumeric()) {
        if word.chars().count() >= KEYWORD_LETTERS_MIN {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let mut keywords: Vec<Keyword> = counts
        .into_iter()
        .filter(|(word, _)| COMMON_WORDS.binary_search(&word.as_str()).is_err())
        .map(|(word, count)| Keyword { word, count })
        .collect();
    keywords.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.word.cmp(&other.word)));
    keywords.truncate(KEYWORDS_MAX);
    keywords
}

fn summary(counts: &Counts, keywords: &[Keyword]) -> String {
    let size = format!("{} in {}", number(counts.words, "word"), number(counts.sentences, "sentence"));
    let names: Vec<&str> = keywords.iter().map(|keyword| keyword.word.as_str()).collect();
    match names.as_slice() {
        [] if counts.words == 0 => "There is no text to look at.".to_owned(),
        [] => format!("{size}, about nothing in particular."),
        [only] => format!("{size}, chiefly about {only}."),
        [rest @ .., last] => format!("{size}, chiefly about {} and {last}.", rest.join(", ")),
    }
}

fn recommendation(keyword: &Keyword) -> String {
    match keyword.count {
        1 => format!("Say more about {}: it comes up once.", keyword.word),
        count => format!("Look at {} first: it comes up {count} times.", keyword.word),
    }
}

fn number(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn common_words_are_in_order_so_that_they_are_found() {
        assert!(COMMON_WORDS.is_sorted());
    }

    #[test]
    fn a_text_is_described_in_sentences() {
        let cases = [
            ("", "There is no text to look at."),
            ("  \n ", "There is no text to look at."),
            ("to be or", "3 words in 1 sentence, about nothing in particular."),
            ("Invoices", "1 word in 1 sentence, chiefly about invoices."),
            (
                "Invoices arrive late. Invoices get lost! Nobody approves invoices, they wait.",
                "11 words in 3 sentences, chiefly about invoices, approves, arrive, late and lost.",
            ),
            ("Übergrößen größer größer", "3 words in 1 sentence, chiefly about größer and übergrößen."),
        ];
        for (text, want) in cases {
            assert_eq!(analyze(text).summary, want, "{text:?}");
        }
    }

    #[test]
    fn the_same_text_always_has_the_same_keywords() {
        let text = "delta alpha gamma beta epsilon zeta alpha delta";
        let words: Vec<_> = analyze(text).keywords.into_iter().map(|keyword| (keyword.word, keyword.count)).collect();
        let want = [("alpha", 2), ("delta", 2), ("beta", 1), ("epsilon", 1), ("gamma", 1)];
        assert_eq!(words, want.map(|(word, count)| (word.to_owned(), count)));
        assert_eq!(analyze(text), analyze(text));
    }

    #[test]
    fn text_is_found_at_any_depth() {
        let value = json!(["one", ["two", " "], {"deep": "three", "number": 4}, null, true]);
        assert_eq!(text_in(&value), "one two three");
    }
}
