//! What the backend is told about a request beside what the client said: where it came from, who was recognised, which
//! trace it belongs to. A client must never be able to say any of it in our name.

mod origin;
mod trace;

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue, header};
use ledger::{Role, UsageEventId};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::authorize::Membership;
use crate::call::Call;
use crate::headers;

pub(crate) use origin::client_address;

const ORGANIZATION: HeaderName = HeaderName::from_static("x-gateway-organization");
const USER: HeaderName = HeaderName::from_static("x-gateway-user");
const ROLE: HeaderName = HeaderName::from_static("x-gateway-role");
/// What every field of ours begins with, whatever follows.
const OURS: &[u8] = b"x-gateway-";

/// By these a client could have a lenient backend (the last two: Next.js) serve another path than the one that was authorised
/// and priced,
const OTHER_PATH: [&str; 4] = ["x-original-url", "x-rewrite-url", "x-matched-path", "x-invoke-path"];
/// and by these make a call of a metered path's free health check.
const OTHER_METHOD: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// `[headers]`, and the cookie that may carry a credential.
pub(crate) struct Passing {
    pub(crate) trusted: Vec<settings::Network>,
    pub(crate) forwarded: settings::Forwarded,
    pub(crate) strip_credentials: bool,
    pub(crate) cookie: Option<String>,
    /// What an older client without a `Host` is taken to have asked for: the backend's own.
    pub(crate) backend: String,
}

/// Who was recognised, as the backend reads it.
pub(crate) struct Recognised {
    organization: HeaderValue,
    user: HeaderValue,
    role: Role,
    /// Set once there is a hold.
    pub(crate) event: Option<UsageEventId>,
}

impl Recognised {
    pub(crate) fn of(member: &Membership) -> Option<Self> {
        let (record, member) = member.parts();
        Some(Self {
            organization: plain(record.organization.organization_id.as_str())?,
            user: plain(member.user_id.as_str())?,
            role: member.role,
            event: None,
        })
    }
}

/// Takes out what a client may not say and puts in what we know.
pub(crate) fn prepare(
    passing: &Passing,
    session: &Session,
    call: &Call,
    request: &mut RequestHeader,
) -> pingora::Result<()> {
    strip_ours(request, call.recognised.is_some());
    if !request.headers.contains_key(header::HOST) {
        let named = request.uri.authority().map(|authority| authority.as_str().to_owned());
        request.insert_header(header::HOST, named.unwrap_or_else(|| passing.backend.clone()))?;
    }
    origin::tell(passing, session, request)?;
    trace::tell(request)?;
    request.insert_header(headers::REQUEST_ID, call.request_id.as_str())?;
    let Some(known) = &call.recognised else { return Ok(()) };
    if passing.strip_credentials {
        strip_credentials(passing, request)?;
    }
    request.insert_header(ORGANIZATION, known.organization.clone())?;
    request.insert_header(USER, known.user.clone())?;
    request.insert_header(ROLE, known.role.as_str())?;
    if let Some(event) = known.event {
        request.insert_header(headers::USAGE_EVENT_ID, event.to_string())?;
    }
    Ok(())
}

/// Removes every field that only we may set, and what a lenient backend could read as one; and those that would have it serve
/// something else than what was asked for.
fn strip_ours(request: &mut RequestHeader, metered: bool) {
    let forged = |name: &&HeaderName| is_ours(name, metered);
    let forged: Vec<HeaderName> = request.headers.keys().filter(forged).cloned().collect();
    for name in forged {
        request.remove_header(&name);
    }
}

/// Whether a field is no client's to set. A backend behind CGI cannot tell `_` from `-`.
fn is_ours(name: &HeaderName, metered: bool) -> bool {
    let name = name.as_str();
    let folded = |prefix: &[u8]| {
        let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
        name.len() >= prefix.len() && name.bytes().zip(prefix).all(|(byte, want)| fold(byte) == *want)
    };
    let is = |other: &str| name.len() == other.len() && folded(other.as_bytes());
    let ours = [&headers::USAGE_EVENT_ID, &headers::CREDITS_CONSUMED, &headers::CREDITS_REMAINING];
    // Nearly no field begins with an x: the rest is not looked at.
    name.starts_with('x')
        && (folded(OURS)
            || ours.iter().any(|name| is(name.as_str()))
            || OTHER_PATH.iter().any(|name| is(name))
            || (metered && OTHER_METHOD.iter().any(|name| is(name))))
}

fn strip_credentials(passing: &Passing, request: &mut RequestHeader) -> pingora::Result<()> {
    request.remove_header(&header::AUTHORIZATION);
    let Some(name) = &passing.cookie else { return Ok(()) };
    let named = |pair: &&str| pair.trim().split('=').next().is_none_or(|found| found.trim() != name);
    let mut kept = Vec::new();
    for value in request.headers.get_all(header::COOKIE) {
        // Cookies that are no text could hide the credential.
        let Ok(text) = value.to_str() else { continue };
        kept.extend(text.split(';').filter(named).map(|pair| pair.trim().to_owned()).filter(|pair| !pair.is_empty()));
    }
    request.remove_header(&header::COOKIE);
    if kept.is_empty() { Ok(()) } else { request.insert_header(header::COOKIE, kept.join("; ")) }
}

/// A name in a header: what is no visible ASCII is percent-encoded, and `%` itself, so that no two names read alike.
fn plain(name: &str) -> Option<HeaderValue> {
    if name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%') {
        return HeaderValue::from_str(name).ok();
    }
    let mut text = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_we_may_say_is_taken_out_in_any_spelling() {
        let mut request = RequestHeader::build("POST", b"/", None).unwrap();
        let ours = [
            "X-Gateway-User",
            "x_gateway_user",
            "X-Gateway_Anything",
            "X-Usage-Event-Id",
            "x_usage_event_id",
            "X-Credits-Remaining",
            "X-Original-URL",
            "x_rewrite_url",
            "X-Matched-Path",
            "X-Invoke-Path",
        ];
        let others = ["X-Gate", "X-Usage-Event-Ids", "X-Mine", "Accept", "X-HTTP-Method-Override", "X-Original"];
        for name in ours.into_iter().chain(others) {
            request.append_header(name, "forged").unwrap();
        }
        let left = |request: &RequestHeader| {
            let mut left: Vec<_> = request.headers.keys().map(|name| name.as_str().to_owned()).collect();
            left.sort_unstable();
            left
        };
        strip_ours(&mut request, false);
        let kept = ["accept", "x-gate", "x-http-method-override", "x-mine", "x-original", "x-usage-event-ids"];
        assert_eq!(left(&request), kept);
        // On a metered path the method is what was priced.
        strip_ours(&mut request, true);
        assert_eq!(left(&request), ["accept", "x-gate", "x-mine", "x-original", "x-usage-event-ids"]);
    }

    #[test]
    fn no_two_names_read_alike_in_a_header() {
        for (name, want) in
            [("ann", "ann"), ("auth0|1", "auth0|1"), ("a b", "a%20b"), ("a%20b", "a%2520b"), ("zo\u{eb}", "zo%C3%AB")]
        {
            assert_eq!(plain(name).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn only_the_credential_is_stripped_of_the_cookies() {
        let passing = Passing {
            trusted: Vec::new(),
            forwarded: settings::Forwarded::Off,
            strip_credentials: true,
            cookie: Some("session".to_owned()),
            backend: "app".to_owned(),
        };
        for (cookies, want) in [
            (vec!["a=1; session=secret; b=2"], Some("a=1; b=2")),
            (vec!["session=secret"], None),
            (vec!["a=1", "session=secret", "session =other; sessions=3"], Some("a=1; sessions=3")),
        ] {
            let mut request = RequestHeader::build("POST", b"/", None).unwrap();
            request.insert_header("Authorization", "Bearer secret").unwrap();
            for cookie in cookies {
                request.append_header("Cookie", cookie).unwrap();
            }
            strip_credentials(&passing, &mut request).unwrap();
            assert!(!request.headers.contains_key("authorization"));
            assert_eq!(request.headers.get("cookie").map(|value| value.to_str().unwrap()), want);
        }
    }
}
