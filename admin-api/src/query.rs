//! Query parameters. One that the path does not know, and one that cannot be read, is refused with its name, why, and what is
//! allowed: a filter that is misspelt must not show everything. An empty filter counts as not given, because front ends send
//! empty ones; an empty month, number or cursor is none.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query as Pairs};
use axum::http::Uri;
use axum::http::request::Parts;
use ledger::{Period, Timestamp};
use refusal::Refusal;

use crate::answer::Refused;

/// Characters of an unknown parameter's name that its refusal shows.
const NAME_CHARS_SHOWN: usize = 64;
/// The first month that can be asked for.
const FIRST_MONTH: &str = "1970-01";

/// The parameters of a request.
#[derive(Clone, Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refused> {
        // The guard of the path has read it.
        let read = parts.extensions.get::<Self>().cloned();
        read.ok_or_else(|| Refusal::InvalidRequest("The query cannot be read.".to_owned()).into())
    }
}

impl Query {
    /// Reads the query of a path that knows these parameters.
    pub(crate) fn read(uri: &Uri, known: &[String]) -> Result<Self, Refusal> {
        in_one_reading(uri.query().unwrap_or_default())?;
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(uri);
        let Pairs(pairs) =
            pairs.map_err(|_| Refusal::InvalidRequest("The query is no list of name=value.".to_owned()))?;
        let control = |text: &String| text.chars().any(char::is_control);
        if let Some((name, _)) = pairs.iter().find(|(name, value)| control(name) || control(value)) {
            return Err(wrong(&printable(name), "it has a control character", "none of those"));
        }
        match pairs.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(Self(pairs)),
            Some((name, _)) if known.is_empty() => Err(wrong(&printable(name), "it is unknown", "none here")),
            Some((name, _)) => Err(wrong(&printable(name), "it is unknown", &known.join(", "))),
        }
    }

    /// A parameter's text; refused where it is given twice.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(given, value)| given == name && !value.is_empty());
        let first = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(wrong(name, "given more than once", "one value")),
            None => Ok(first),
        }
    }

    /// The text of a parameter that needs one where it is given.
    fn value(&self, name: &str, allowed: &str) -> Result<Option<&str>, Refusal> {
        if self.0.iter().any(|(given, value)| given == name && value.is_empty()) {
            return Err(wrong(name, "it is empty", allowed));
        }
        self.text(name)
    }

    /// A whole number that stands for a place, such as the cursor that an answer gave.
    pub(crate) fn place(&self, name: &str, allowed: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.value(name, allowed)? else { return Ok(None) };
        let place = text.parse().ok().filter(|place| *place >= 1);
        place.map(Some).ok_or_else(|| wrong(name, "it is none", allowed))
    }

    /// A parameter read as `T`.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, name: &str, allowed: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|why: T::Err| wrong(name, why, allowed))
    }

    /// A whole number from 1 to `most`.
    pub(crate) fn count(&self, name: &str, most: u32, default: u32) -> Result<u32, Refusal> {
        let allowed = format!("a whole number from 1 to {most}");
        let Some(text) = self.value(name, &allowed)? else { return Ok(default) };
        let count = text.parse().ok().filter(|count| (1..=most).contains(count));
        count.ok_or_else(|| wrong(name, "not such a number", &allowed))
    }

    /// The month asked for, the present one unless given.
    pub(crate) fn month(&self, now: Timestamp) -> Result<Period, Refusal> {
        let present = Period::of(now);
        let allowed = format!("a month from {FIRST_MONTH} to {present}, such as {present}");
        self.value("month", &allowed)?;
        let month = self.parsed::<Period>("month", &allowed)?.unwrap_or(present);
        let first = Period::of(Timestamp::from_millis(0));
        if month > present {
            return Err(wrong("month", "it lies in the future", &allowed));
        }
        if month < first {
            return Err(wrong("month", "it lies too far back", &allowed));
        }
        Ok(month)
    }
}

/// Whether every escape is one and what they stand for is text: two readers of such a query could read it differently.
fn in_one_reading(query: &str) -> Result<(), Refusal> {
    let refused =
        |why: &str| Refusal::InvalidRequest(format!("The query {why}; allowed: name=value, in escaped UTF-8."));
    let mut text = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            text.push(*first);
            continue;
        }
        let escaped = rest.split_at_checked(2).and_then(|(digits, after)| {
            rest = after;
            let all_digits = digits.iter().all(u8::is_ascii_hexdigit);
            u8::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| all_digits)?, 16).ok()
        });
        text.push(escaped.ok_or_else(|| refused("has a bad escape"))?);
    }
    std::str::from_utf8(&text).map(drop).map_err(|_| refused("is not UTF-8"))
}

/// A client's own name for a parameter, short enough to be told.
fn printable(name: &str) -> String {
    name.chars().take(NAME_CHARS_SHOWN).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

/// A parameter that cannot be read.
pub(crate) fn wrong(name: &str, why: impl Display, allowed: &str) -> Refusal {
    Refusal::InvalidRequest(format!("The query parameter {name} is wrong: {why}; allowed: {allowed}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        let uri = format!("http://x/?{text}").parse().unwrap();
        Query(Pairs::<Vec<(String, String)>>::try_from_uri(&uri).unwrap().0)
    }

    #[test]
    fn a_month_is_one_that_has_begun() {
        let now = "2026-11-30T23:59:59.999Z".parse().unwrap();
        let cases = [
            ("", Some("2026-11")),
            ("month=", None),
            ("month=2026-11", Some("2026-11")),
            ("month=1970-01", Some("1970-01")),
            ("month=1969-12", None),
            ("month=2026-12", None),
            ("month=2026-13", None),
            ("month=2026-1", None),
            ("month=2026-11-01", None),
            ("month=x", None),
            ("month=2026-10&month=2026-11", None),
        ];
        for (text, want) in cases {
            let month = query(text).month(now).ok().map(|month| month.to_string());
            assert_eq!(month.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn a_query_that_has_no_one_reading_is_refused() {
        for (text, why) in [
            ("n=a%20b+c%C3%BC", None),
            ("n=%ff", Some("UTF-8")),
            ("n=%c3", Some("UTF-8")),
            ("n=%zz", Some("escape")),
            ("n=%2", Some("escape")),
            ("n=100%", Some("escape")),
            ("n=%00", Some("control")),
            ("n=a%0ab", Some("control")),
            ("%00=1", Some("control")),
            ("m=1", Some("unknown")),
        ] {
            let read = Query::read(&format!("http://x/?{text}").parse().unwrap(), &["n".to_owned()]);
            match (read, why) {
                (Ok(_), None) => {}
                (Err(refusal), Some(why)) => {
                    assert!(refusal.sentence().contains(why), "{text}: {}", refusal.sentence());
                }
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_count_is_taken_at_its_limits_and_not_past_them() {
        let cases = [
            ("n=1", Some(1)),
            ("n=100", Some(100)),
            ("", Some(7)),
            ("n=", None),
            ("n=0", None),
            ("n=101", None),
            ("n=-1", None),
            ("n=1.0", None),
        ];
        for (text, want) in cases {
            assert_eq!(query(text).count("n", 100, 7).ok(), want, "{text}");
        }
        assert!(query("n=101").count("n", 100, 7).unwrap_err().sentence().contains("n is wrong"));
    }
}
