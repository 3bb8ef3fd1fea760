//! `[upstream]`: the backend.

use std::time::Duration;

use crate::document::Document;
use crate::section::Section;

/// `[upstream]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Whether the backend speaks TLS.
    pub tls: bool,
    /// Its name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer, or the next piece of one, may take.
    pub response_timeout: Duration,
    /// How long an idle connection is kept; shorter than the backend keeps it.
    pub idle_timeout: Duration,
    /// An answer that is kept until it is whole, in bytes; a longer one passes without `usage`.
    pub max_response: u64,
}

const URLS: &str = "http://host:port or https://host:port, without a path";

impl Upstream {
    pub(crate) fn read(document: &mut Document) -> Self {
        let (ms, seconds) = (Duration::from_millis, Duration::from_secs);
        let mut section = Section::open(document, "upstream");
        let url = section.required("url", URLS);
        let (tls, host, port) = url_parts(&url).unwrap_or_else(|| {
            // What stands before an @ may be a password: it is not shown.
            let shown = if url.contains('@') { "has a user or password".to_owned() } else { format!("is \"{url}\"") };
            if !url.is_empty() {
                section.wrong("url", &shown, URLS);
            }
            (false, String::new(), 0)
        });
        let read = Self {
            tls,
            host,
            port,
            connect_timeout: section.duration("connect_timeout", seconds(2), ms(1)..=seconds(300)),
            response_timeout: section.duration("response_timeout", seconds(120), ms(1)..=seconds(3_600)),
            idle_timeout: section.duration("idle_timeout", seconds(4), ms(0)..=seconds(3_600)),
            max_response: section.size("max_response", 64 << 20, 1..=1 << 30),
        };
        section.close();
        read
    }
}

fn url_parts(url: &str) -> Option<(bool, String, u16)> {
    let (tls, rest) = match url.split_once("://")? {
        ("http", rest) => (false, rest),
        ("https", rest) => (true, rest),
        _ => return None,
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
        _ => (authority, if tls { 443 } else { 80 }),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    let sound = !bare.is_empty() && bare.bytes().all(plain) && (bare != host || !bare.contains(':'));
    sound.then(|| (tls, bare.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backends_address_is_taken_apart() {
        for (url, want) in [
            ("http://127.0.0.1:5000", Some((false, "127.0.0.1", 5000))),
            ("http://app/", Some((false, "app", 80))),
            ("https://app.example", Some((true, "app.example", 443))),
            ("http://[::1]:5000", Some((false, "::1", 5000))),
            ("http://[::1]", Some((false, "::1", 80))),
            ("http://::1:5000", None),
            ("http://app/path", None),
            ("http://user@app", None),
            ("http://app:0", None),
            ("http://app:99999", None),
            ("ftp://app", None),
            ("app:5000", None),
            ("http://", None),
        ] {
            assert_eq!(url_parts(url), want.map(|(tls, host, port)| (tls, host.to_owned(), port)), "{url}");
        }
    }
}
