//! The key as the client sends it (draft-ietf-httpapi-idempotency-key-header: a structured field, a string), and what tells
//! two calls under it apart. A key must never be shown: it may be guessed by nobody else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderName, Method};
use ledger::{IdempotencyKey, UserId};
use refusal::Refusal;
use sha2::{Digest as _, Sha256};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The request's key; `None` where it has none.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Refusal> {
    let mut fields = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(Refusal::IdempotencyKeyInvalid("stands twice"));
    }
    parse(field.as_bytes()).map(Some).map_err(Refusal::IdempotencyKeyInvalid)
}

/// A string in quotes, or without them as most clients send it: both name the same key.
fn parse(field: &[u8]) -> Result<IdempotencyKey, &'static str> {
    let text = std::str::from_utf8(field).map_err(|_| "is not ASCII")?.trim_matches([' ', '\t']);
    let plain = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None if text.contains(['"', '\\', ',', ';', ' ']) => {
            return Err("has a quote, backslash, comma, semicolon or blank");
        }
        None => text.to_owned(),
    };
    match plain.len() {
        0 => Err("is empty"),
        length if length > IdempotencyKey::CHARACTERS_MAX => Err("is too long"),
        _ => plain.parse().map_err(|_| "has a character that is not printable ASCII"),
    }
}

/// A string of RFC 9651 §3.3.3 after its first quote. Parameters behind it are no part of the header's definition.
fn unquoted(quoted: &str) -> Result<String, &'static str> {
    let mut plain = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' if characters.as_str().is_empty() => return Ok(plain),
            '"' => return Err("goes on after its closing quote"),
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => plain.push(escaped),
                _ => return Err("has a backslash before something else than a quote or backslash"),
            },
            other => plain.push(other),
        }
    }
    Err("has no closing quote")
}

/// What makes a call this one: who sends what where. Each part is preceded by its length, so that no two calls read alike.
pub(super) fn fingerprint(method: &Method, target: &[u8], user: &UserId, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [method.as_str().as_bytes(), target, user.as_str().as_bytes(), body] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    STANDARD_NO_PAD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_and_without_quotes() {
        let longest = "k".repeat(255);
        for (field, want) in [
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", Some("8e03978e-40d5-43e8-bc93-6894a57f9324")),
            ("\"8e03978e\"", Some("8e03978e")),
            ("  \"a b, c; d\"\t", Some("a b, c; d")),
            (r#""a \"b\" \\ c""#, Some(r#"a "b" \ c"#)),
            (&longest, Some(longest.as_str())),
            (&format!("\"{longest}\""), Some(longest.as_str())),
            (&format!("{longest}k"), None),
            (&format!("\"{longest}k\""), None),
            ("", None),
            ("\"\"", None),
            ("\"", None),
            ("\"a", None),
            ("\"a\"b", None),
            ("\"a\";b=1", None),
            (r#""a\n""#, None),
            ("a, b", None),
            ("a b", None),
            ("a;b", None),
            ("a\"", None),
            ("schl\u{fc}ssel", None),
            ("\"\u{7f}\"", None),
        ] {
            let read = parse(field.as_bytes());
            assert_eq!(read.as_ref().ok().map(IdempotencyKey::as_str), want, "{field}: {read:?}");
        }
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn two_keys_on_one_request_are_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), Ok(None));
        headers.append(IDEMPOTENCY_KEY, "a".parse().unwrap());
        assert!(read(&headers).unwrap().is_some());
        headers.append(IDEMPOTENCY_KEY, "a".parse().unwrap());
        assert_eq!(read(&headers), Err(Refusal::IdempotencyKeyInvalid("stands twice")));
    }

    #[test]
    fn every_part_of_a_call_tells_it_apart() {
        let (ann, bob): (UserId, UserId) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let same = || fingerprint(&Method::POST, b"/a", &ann, b"{}");
        assert_eq!((same(), same().len()), (same(), 43));
        for other in [
            fingerprint(&Method::PUT, b"/a", &ann, b"{}"),
            fingerprint(&Method::POST, b"/a?b", &ann, b"{}"),
            fingerprint(&Method::POST, b"/a", &bob, b"{}"),
            fingerprint(&Method::POST, b"/a", &ann, b"{ }"),
            fingerprint(&Method::POST, b"/aann", &"".parse().unwrap_or(bob.clone()), b"{}"),
        ] {
            assert_ne!(other, same());
        }
    }
}
