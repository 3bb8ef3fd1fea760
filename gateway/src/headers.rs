//! Header hygiene, both ways (RFC 9110 §7.6).

use http::{HeaderName, HeaderValue, Version, header};
use pingora::OrErr as _;
use pingora::http::{RequestHeader, ResponseHeader};

/// A request's name across machines.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The usage event of a settled answer.
pub(crate) const USAGE_EVENT_ID: HeaderName = HeaderName::from_static("x-usage-event-id");
/// What a settled answer cost.
pub(crate) const CREDITS_CONSUMED: HeaderName = HeaderName::from_static("x-credits-consumed");
/// What is left after it; -1 where there is no limit.
pub(crate) const CREDITS_REMAINING: HeaderName = HeaderName::from_static("x-credits-remaining");

/// Whether an answer is given again.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that concern one connection only.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that describe a body's exact bytes, and are false once `usage` is in it.
const OF_THE_BYTES: [HeaderName; 6] = [
    header::ETAG,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Fields that there is room for beside those that came: what we add must not make a copy grow once more.
const ADDED_FIELDS: usize = 16;

/// A copy of a request that we go on to write in.
pub(crate) fn copy_of_request(request: &RequestHeader) -> pingora::Result<RequestHeader> {
    let room = request.headers.len().saturating_add(ADDED_FIELDS);
    let mut copy = RequestHeader::build(request.method.clone(), b"/", Some(room))?;
    copy.set_uri(request.uri.clone());
    // A target that is no text stands in `uri` only nearly.
    if !request.raw_path_is_utf8() {
        copy.set_raw_path(request.raw_path())?;
    }
    copy.set_version(request.version);
    // What came over HTTP/2 has no names but those in lower case.
    if request.has_case() {
        for (name, value) in request.case_header_iter() {
            copy.append_header(name.clone(), value.clone())?;
        }
    } else {
        for (name, value) in &request.headers {
            copy.append_header(name.clone(), value.clone())?;
        }
    }
    Ok(copy)
}

/// A copy of an answer that we go on to write in.
pub(crate) fn copy_of_answer(answer: &ResponseHeader) -> pingora::Result<Box<ResponseHeader>> {
    let room = answer.headers.len().saturating_add(ADDED_FIELDS);
    let mut copy = Box::new(ResponseHeader::build(answer.status, Some(room))?);
    copy.set_reason_phrase(answer.get_reason_phrase())?;
    copy.set_version(answer.version);
    for (name, value) in answer.case_header_iter() {
        copy.append_header(name.clone(), value.clone())?;
    }
    Ok(copy)
}

/// Removes what concerns the client's connection only, and what `Connection` names.
pub(crate) fn strip_hop_by_hop(request: &mut RequestHeader) {
    for name in nominated(request.headers.get_all(header::CONNECTION).iter()) {
        request.remove_header(&name);
    }
    for name in &HOP_BY_HOP {
        request.remove_header(name);
    }
}

/// Removes what concerns the backend's connection only, and fields that only we may set.
pub(crate) fn strip_from_answer(answer: &mut ResponseHeader) {
    for name in nominated(answer.headers.get_all(header::CONNECTION).iter()) {
        answer.remove_header(&name);
    }
    for name in HOP_BY_HOP.iter().chain(&[USAGE_EVENT_ID, CREDITS_CONSUMED, CREDITS_REMAINING, IDEMPOTENCY_REPLAYED]) {
        answer.remove_header(name);
    }
}

/// Removes what concerns the backend's connection only, of an answer whose framing Pingora has seen to.
pub(crate) fn strip_but_framing(answer: &mut ResponseHeader) {
    for name in nominated(answer.headers.get_all(header::CONNECTION).iter()) {
        if name != header::TRANSFER_ENCODING {
            answer.remove_header(&name);
        }
    }
    for name in HOP_BY_HOP.iter().filter(|name| **name != header::TRANSFER_ENCODING) {
        answer.remove_header(name);
    }
}

/// Removes what is false once the body's bytes have changed.
pub(crate) fn strip_of_the_bytes(answer: &mut ResponseHeader) {
    for name in &OF_THE_BYTES {
        answer.remove_header(name);
    }
}

/// Sends a target in absolute form (RFC 9112 §3.2.2) on in origin form; any other stays as it came.
pub(crate) fn to_origin_form(request: &mut RequestHeader) {
    if is_absolute_form(request)
        && let Some(target) = request.uri.path_and_query().cloned()
    {
        request.set_uri(target.into());
    }
}

/// Says in HTTP/1.1 what HTTP/2 says in its own way: the host, and cookies in one line (RFC 9113 §8.2.3, §8.3.1).
pub(crate) fn from_http2(request: &mut RequestHeader) -> pingora::Result<()> {
    if request.version != Version::HTTP_2 {
        return Ok(());
    }
    if let Some(authority) = request.uri.authority().map(|authority| authority.as_str().to_owned()) {
        request.insert_header(header::HOST, authority)?;
    }
    if let Some(target) = request.uri.path_and_query().cloned() {
        request.set_uri(target.into());
    }
    let cookies: Vec<_> = request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..]));
        let joined = joined.or_err(pingora::ErrorType::InvalidHTTPHeader, "cookies that are no field")?;
        request.insert_header(header::COOKIE, joined)?;
    }
    Ok(())
}

/// Whether a target names its host too. Pingora keeps it as it came, with its path alone in `uri`, and has seen to it that
/// the host is the one of `Host`.
pub(crate) fn is_absolute_form(request: &RequestHeader) -> bool {
    let starts =
        |scheme: &[u8]| request.raw_path().get(..scheme.len()).is_some_and(|raw| raw.eq_ignore_ascii_case(scheme));
    starts(b"http://") || starts(b"https://")
}

/// What `Connection` names, less the fields that no client may strip: the body's framing and its own identity.
fn nominated<'a>(connection: impl Iterator<Item = &'a HeaderValue>) -> Vec<HeaderName> {
    const KEPT: [HeaderName; 5] =
        [header::CONTENT_LENGTH, header::HOST, header::AUTHORIZATION, header::COOKIE, header::CONTENT_TYPE];
    let names = connection.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.filter_map(|name| name.trim().parse().ok()).filter(|name| !KEPT.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_says_what_was_said_byte_for_byte() {
        for target in [&b"/a?b=c"[..], b"/a?b=\xff", b"http://app.example/a?b=\xff", b"http://app.example/a"] {
            let mut request = RequestHeader::build("POST", target, None).unwrap();
            for (name, value) in [("x-Mine", &b"1"[..]), ("X-mine", b"\xff"), ("Accept", b"*/*")] {
                request.append_header(name, HeaderValue::from_bytes(value).unwrap()).unwrap();
            }
            let mut copy = copy_of_request(&request).unwrap();
            // A target in absolute form is sent on in origin form anyway.
            to_origin_form(&mut copy);
            to_origin_form(&mut request);
            assert_eq!(copy.raw_path(), request.raw_path());
            let wire = |header: &RequestHeader| {
                let mut wire = Vec::new();
                header.header_to_h1_wire(&mut wire);
                wire
            };
            assert_eq!(wire(&copy), wire(&request));
        }
        let mut answer = ResponseHeader::build(200, None).unwrap();
        answer.set_reason_phrase(Some("Fine")).unwrap();
        answer.append_header("x-Mine", "1").unwrap();
        let copy = copy_of_answer(&answer).unwrap();
        assert_eq!(
            (copy.status, copy.get_reason_phrase(), copy.version),
            (answer.status, Some("Fine"), answer.version)
        );
        assert_eq!(copy.headers, answer.headers);
    }

    #[test]
    fn fields_of_one_connection_do_not_travel() {
        let mut request = RequestHeader::build("POST", b"/a?b=c", None).unwrap();
        for (name, value) in [
            ("Connection", "keep-alive, X-Trace, Host"),
            ("Keep-Alive", "timeout=5"),
            ("X-Trace", "1"),
            ("Host", "app.example"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "websocket"),
            ("Accept", "*/*"),
        ] {
            request.append_header(name, value).unwrap();
        }
        strip_hop_by_hop(&mut request);
        let mut left: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host"]);
    }

    #[test]
    fn a_target_in_absolute_form_is_sent_on_in_origin_form_and_no_other_is_touched() {
        for (target, want) in [
            ("http://app.example/a%2Fb?c=//d", "/a%2Fb?c=//d"),
            ("HTTPS://app.example", "/"),
            ("/a?b=http://c", "/a?b=http://c"),
            ("*", "*"),
        ] {
            let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
            to_origin_form(&mut request);
            assert_eq!(std::str::from_utf8(request.raw_path()), Ok(want), "{target}");
        }
    }
}
