//! An answer as it is kept, and as it is given again: what the client was told, less what concerned that one request.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::headers;

/// Fields of an answer that are kept, at most, in bytes of their names and values.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Fields that belong to one request or one connection: a repeat has its own, or none.
const OF_THE_REQUEST: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::DATE,
    header::SET_COOKIE,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    headers::REQUEST_ID,
];

/// The document in the database.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    status: u16,
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    body: Body<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body<'a> {
    Text(Cow<'a, str>),
    Base64(String),
}

/// An answer that is given again.
pub(crate) struct Repeat {
    header: ResponseHeader,
    body: Bytes,
}

/// An answer as a document; `None` where it is too long to be kept.
pub(super) fn write(status: StatusCode, headers: &HeaderMap, body: &[u8], bytes_max: usize) -> Option<String> {
    if body.len() > bytes_max {
        return None;
    }
    let kept = headers.iter().filter(|(name, _)| !OF_THE_REQUEST.contains(name));
    // A value that is no text can be no part of the document; none of the usual fields has one.
    let kept: Vec<_> =
        kept.filter_map(|(name, value)| Some((name.as_str().into(), value.to_str().ok()?.into()))).collect();
    let header_bytes: usize =
        kept.iter().map(|(name, value): &(Cow<'_, str>, Cow<'_, str>)| name.len() + value.len()).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return None;
    }
    let body = match std::str::from_utf8(body) {
        Ok(text) => Body::Text(text.into()),
        Err(_) => Body::Base64(STANDARD.encode(body)),
    };
    serde_json::to_string(&Kept { status: status.as_u16(), headers: kept, body }).ok()
}

impl Repeat {
    /// Reads a kept answer.
    pub(super) fn read(document: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let Kept { status, headers, body } = serde_json::from_str(document)?;
        let mut header = ResponseHeader::build(status, Some(headers.len() + 3))?;
        for (name, value) in headers {
            header.append_header(HeaderName::from_bytes(name.as_bytes())?, &*value)?;
        }
        let body = match body {
            Body::Text(text) => Bytes::from(text.into_owned()),
            Body::Base64(text) => STANDARD.decode(text)?.into(),
        };
        Ok(Self { header, body })
    }

    /// Gives the answer again, and says that it is given again.
    pub(crate) async fn send(self, session: &mut Session, call: &mut Call) -> pingora::Result<()> {
        let Self { mut header, body } = self;
        call.repeated = true;
        header.insert_header(headers::IDEMPOTENCY_REPLAYED, "true")?;
        header.insert_header(headers::REQUEST_ID, call.request_id.as_str())?;
        let bodiless = session.req_header().method == Method::HEAD
            || matches!(header.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RESET_CONTENT);
        if bodiless {
            return session.write_response_header(Box::new(header), true).await;
        }
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
        session.write_response_header(Box::new(header), false).await?;
        session.write_response_body(Some(body), true).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        fields
    }

    #[test]
    fn what_is_kept_comes_back_less_what_was_of_one_request() {
        let sent = fields(&[
            ("content-type", "text/plain"),
            ("x-usage-event-id", "evt_1"),
            ("vary", "a"),
            ("vary", "b"),
            ("set-cookie", "session=secret"),
            ("date", "today"),
            ("content-length", "7"),
            ("x-request-id", "req_1"),
        ]);
        for body in [&b""[..], b"{\"a\":\"\\u0000\"}", "ü\0".as_bytes(), b"\xff\xfe\0"] {
            let kept = write(StatusCode::CREATED, &sent, body, 100).unwrap();
            let repeat = Repeat::read(&kept).unwrap();
            assert_eq!((repeat.header.status, &repeat.body[..]), (StatusCode::CREATED, body));
            let came: Vec<_> =
                repeat.header.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            let want = [("content-type", "text/plain"), ("x-usage-event-id", "evt_1"), ("vary", "a"), ("vary", "b")];
            assert_eq!(came, want);
        }
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let kept =
            |headers: &HeaderMap, body_bytes| write(StatusCode::OK, headers, &vec![b'x'; body_bytes], 10).is_some();
        let field = |bytes: usize| fields(&[("x-long", &"v".repeat(bytes - "x-long".len()))]);
        assert_eq!((kept(&field(10), 10), kept(&field(10), 11)), (true, false));
        assert_eq!((kept(&field(HEADER_BYTES_MAX), 1), kept(&field(HEADER_BYTES_MAX + 1), 1)), (true, false));
    }

    #[test]
    fn a_damaged_answer_is_an_error() {
        for document in ["", "{}", r#"{"status":99,"headers":[],"body":{"text":""}}"#] {
            assert!(Repeat::read(document).is_err(), "{document}");
        }
    }
}
