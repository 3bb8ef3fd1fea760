//! Bodies: read up to a limit, and where one is wrong, which field it is and what is allowed there.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use refusal::Refusal;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::answer::Refused;
use crate::bounded::Object;

/// The longest body taken, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body of the shape `T`, whatever its Content-Type says.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX).await;
        let bytes = bytes.map_err(|_| Refusal::BodyTooLarge(u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX)))?;
        Ok(Self(parse(&bytes)?))
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Object(parsed) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        refusal(&field, error.inner(), body)
    })?;
    reader.end().map_err(|error| refusal(".", &error, body))?;
    Ok(parsed)
}

fn refusal(field: &str, error: &serde_json::Error, body: &[u8]) -> Refusal {
    let sentence = error.to_string();
    let is_json = || serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let why = match error.classify() {
        // The place in the text says less than the field's name.
        Category::Data => sentence.rsplit_once(" at line ").map_or(sentence.as_str(), |(why, _)| why),
        // A null where one of some words is expected is taken by the library for no value at all.
        _ if is_json() => "invalid type: expected one of the words that are allowed there",
        _ => return Refusal::InvalidJson(sentence),
    };
    match field {
        "." | "?" => Refusal::InvalidRequest(format!("The body is wrong: {why}.")),
        field => Refusal::InvalidRequest(format!("{field}: {why}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::Count;
    use ledger::{Credits, Limit};
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only their reading is tried")]
    struct Outer {
        inner: Option<Object<Inner>>,
        #[serde(default)]
        list: Vec<Credits>,
        #[serde(default)]
        words: Vec<Word>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only their reading is tried")]
    struct Inner {
        limit: Option<Limit>,
        count: Option<Count>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Only,
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("", "invalid_json", "EOF"),
            ("{", "invalid_json", "EOF"),
            ("{} x", "invalid_json", "trailing"),
            ("[]", "invalid_request", "The body is wrong: invalid type: sequence, expected an object"),
            ("[{}, []]", "invalid_request", "The body is wrong: invalid type: sequence, expected an object"),
            ("5", "invalid_request", "expected an object"),
            (r#"{"inner": [1, 2]}"#, "invalid_request", "inner: invalid type: sequence, expected an object"),
            (r#"{"inner": []}"#, "invalid_request", "inner: invalid type: sequence, expected an object"),
            (r#"{"other": 1}"#, "invalid_request", "other"),
            (r#"{"inner": {"other": 1}}"#, "invalid_request", "inner.other: unknown field `other`, expected"),
            (r#"{"inner": {"limit": -2}}"#, "invalid_request", "inner.limit: a limit is -1 (unlimited), 0 or more"),
            (r#"{"inner": {"count": -2}}"#, "invalid_request", "inner.count: a count is -1 (unlimited), 0 or more"),
            (r#"{"inner": {"count": 1.5}}"#, "invalid_request", "inner.count: a count is"),
            (r#"{"inner": {"count": "5"}}"#, "invalid_request", "inner.count: a count is"),
            (r#"{"words": [null]}"#, "invalid_request", "words[0]: invalid type: expected one of the words"),
            (r#"{"words": [null}"#, "invalid_json", "expected value"),
            (r#"{"inner": {}, "inner": {}}"#, "invalid_request", "duplicate field `inner`"),
            (r#"{"list": [1, "x"]}"#, "invalid_request", "list[1]: not a plain decimal number"),
        ];
        for (body, code, part) in cases {
            let refusal = parse::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!(refusal.code(), code, "{body}");
            assert!(refusal.sentence().contains(part), "{body}: {}", refusal.sentence());
        }
        assert!(parse::<Outer>(br#"{"inner": {"limit": -1, "count": 0}, "list": [0.5]}"#).is_ok());
    }
}
