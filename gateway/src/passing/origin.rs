//! Where a request came from: `X-Forwarded-*` and `Forwarded` (RFC 7239). What a stranger says of it is replaced.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderName, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use settings::Forwarded;

use super::Passing;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Says where the request came from.
pub(super) fn tell(passing: &Passing, session: &Session, request: &mut RequestHeader) -> pingora::Result<()> {
    let peer = peer_address(session);
    let https = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let trusted = peer.is_some_and(|peer| is_trusted(passing, peer));
    if !trusted {
        strip(request);
    }
    let Some(peer) = peer else { return Ok(()) };
    let proto = if https { "https" } else { "http" };
    if matches!(passing.forwarded, Forwarded::Usual | Forwarded::Both) {
        let before = list(request, &FOR);
        request.insert_header(FOR, appended(before, &peer.to_string()))?;
        if !request.headers.contains_key(PROTO) {
            request.insert_header(PROTO, proto)?;
        }
        if let Some(host) = host(request).filter(|_| !request.headers.contains_key(HOST)) {
            request.insert_header(HOST, host)?;
        }
    }
    if matches!(passing.forwarded, Forwarded::Standard | Forwarded::Both) {
        let mut element = match peer {
            IpAddr::V4(peer) => format!("for={peer}"),
            IpAddr::V6(peer) => format!("for=\"[{peer}]\""),
        };
        if let Some(host) = host(request).filter(|host| !host.contains(['"', '\\'])) {
            let _ = write!(element, ";host=\"{host}\"");
        }
        let _ = write!(element, ";proto={proto}");
        let before = list(request, &header::FORWARDED);
        request.insert_header(header::FORWARDED, appended(before, &element))?;
    }
    Ok(())
}

/// The address of the client itself: the peer's, or what trusted proxies say of it.
pub(crate) fn client_address(passing: &Passing, session: &Session) -> Option<IpAddr> {
    let mut address = peer_address(session)?;
    let said = list(session.req_header(), &FOR).unwrap_or_default();
    for hop in said.rsplit(',') {
        if !is_trusted(passing, address) {
            break;
        }
        let Ok(before) = hop.trim().parse() else { break };
        address = before;
    }
    Some(address)
}

fn peer_address(session: &Session) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip().to_canonical())
}

fn is_trusted(passing: &Passing, address: IpAddr) -> bool {
    passing.trusted.iter().any(|network| network.contains(address))
}

/// Removes whatever says where a request came from.
fn strip(request: &mut RequestHeader) {
    let says = |name: &&HeaderName| {
        let name = name.as_str();
        name == "forwarded"
            || name.starts_with('x') && {
                let name = name.replace('_', "-");
                name.starts_with("x-forwarded-") || name == "x-real-ip"
            }
    };
    let said: Vec<HeaderName> = request.headers.keys().filter(says).cloned().collect();
    for name in said {
        request.remove_header(&name);
    }
}

/// All that a list field has, in one line.
fn list(request: &RequestHeader, name: &HeaderName) -> Option<String> {
    let mut values = request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut all = values.next()?.to_owned();
    for more in values {
        all.push_str(", ");
        all.push_str(more);
    }
    Some(all)
}

fn appended(before: Option<String>, element: &str) -> String {
    match before {
        Some(before) => format!("{before}, {element}"),
        None => element.to_owned(),
    }
}

/// The host that the client named; HTTP/2 names it in its own way.
fn host(request: &RequestHeader) -> Option<String> {
    let named = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| request.uri.authority().map(http::uri::Authority::as_str)).map(str::to_owned)
}
