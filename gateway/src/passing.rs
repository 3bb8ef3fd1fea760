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
    /// Whether a key said so, which the backend does not get.
    by_key: bool,
    /// Set once there is a hold.
    pub(crate) event: Option<UsageEventId>,
}

impl Recognised {
    pub(crate) fn of(membership: &Membership) -> Option<Self> {
        let (record, member) = membership.parts();
        Some(Self {
            by_key: membership.by_key(),
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
    strip_ours(request);
    if !request.headers.contains_key(header::HOST) {
        let named = request.uri.authority().map(|authority| authority.as_str().to_owned());
        request.insert_header(header::HOST, named.unwrap_or_else(|| passing.backend.clone()))?;
    }
    origin::tell(passing, session, request)?;
    trace::tell(request)?;
    request.insert_header(headers::REQUEST_ID, call.request_id.as_str())?;
    let Some(known) = &call.recognised else { return Ok(()) };
    if passing.strip_credentials || known.by_key {
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

/// Removes every field that only we may set, and what a lenient backend could read as one.
fn strip_ours(request: &mut RequestHeader) {
    let forged: Vec<HeaderName> = request.headers.keys().filter(|name| is_ours(name)).cloned().collect();
    for name in forged {
        request.remove_header(&name);
    }
}

/// Whether a field is ours to set. A backend behind CGI cannot tell `_` from `-`.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    let folded = |prefix: &[u8]| {
        let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
        name.len() >= prefix.len() && name.bytes().zip(prefix).all(|(byte, want)| fold(byte) == *want)
    };
    // Nearly no field begins with an x: the rest is not looked at.
    name.starts_with('x')
        && (folded(OURS)
            || [&headers::USAGE_EVENT_ID, &headers::CREDITS_CONSUMED, &headers::CREDITS_REMAINING]
                .iter()
                .any(|ours| name.len() == ours.as_str().len() && folded(ours.as_str().as_bytes())))
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
        ];
        for name in ours.into_iter().chain(["X-Gate", "X-Usage-Event-Ids", "X-Mine", "Accept"]) {
            request.append_header(name, "forged").unwrap();
        }
        strip_ours(&mut request);
        let mut left: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "x-gate", "x-mine", "x-usage-event-ids"]);
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
