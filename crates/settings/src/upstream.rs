//! `[upstream]`: the backend.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::document::Document;
use crate::section::Section;

/// Addresses of the backend, at most.
const ADDRESSES_MAX: usize = 16;

/// `[upstream]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where it is; several addresses are asked in turn.
    pub addresses: Vec<Address>,
    /// What is asked of each address, again and again, to see whether it is well; `None` only connects to those that could
    /// not be reached.
    pub health_path: Option<String>,
    /// How often.
    pub health_interval: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer, or the next piece of one, may take.
    pub response_timeout: Duration,
    /// How long an idle connection is kept; shorter than the backend keeps it.
    pub idle_timeout: Duration,
    /// An answer that is kept until it is whole, in bytes; a longer one passes without `usage`.
    pub max_response: u64,
}

/// One address of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Over TCP.
    Tcp {
        /// Whether it speaks TLS.
        tls: bool,
        /// Its name or address; an IPv6 address without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A Unix socket on this machine.
    Unix(PathBuf),
}

const URLS: &str =
    "http://host:port or https://host:port without a path, or unix:/path/of/a/socket; or a list of up to 16 of them";

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { tls, .. } => write!(f, "{}://{}", if *tls { "https" } else { "http" }, self.authority()),
        }
    }
}

impl Address {
    /// As a `Host` names it.
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl Upstream {
    pub(crate) fn read(document: &mut Document) -> Self {
        let (ms, seconds) = (Duration::from_millis, Duration::from_secs);
        let mut section = Section::open(document, "upstream");
        let addresses = addresses(&mut section);
        let health_path = section.text("health_path").filter(|path| !path.is_empty());
        if health_path.as_ref().is_some_and(|path| !is_path(path)) {
            section.wrong("health_path", "is no path", "a path such as /healthz, or none");
        }
        let read = Self {
            addresses,
            health_path,
            health_interval: section.duration("health_interval", seconds(1), ms(100)..=seconds(300)),
            connect_timeout: section.duration("connect_timeout", seconds(2), ms(1)..=seconds(300)),
            response_timeout: section.duration("response_timeout", seconds(120), ms(1)..=seconds(3_600)),
            idle_timeout: section.duration("idle_timeout", seconds(4), ms(0)..=seconds(3_600)),
            max_response: section.size("max_response", 64 << 20, 1..=1 << 30),
        };
        section.close();
        read
    }
}

fn addresses(section: &mut Section<'_>) -> Vec<Address> {
    let is_there = section.has("url");
    let given = section.list("url");
    match given.len() {
        // What is no list of texts was said to be none.
        0 if is_there && !section.is_sound("url") => {}
        0 => section.wrong("url", if is_there { "is empty" } else { "is missing" }, URLS),
        1..=ADDRESSES_MAX => {}
        many => section.wrong("url", &format!("has {many} addresses"), URLS),
    }
    let mut addresses = Vec::new();
    for url in &given {
        match address(url) {
            Some(address) if addresses.contains(&address) => {
                section.wrong("url", &format!("has {address} twice"), URLS);
            }
            Some(address) => addresses.push(address),
            None if url.is_empty() => section.wrong("url", "is empty", URLS),
            None => {
                // What stands before an @ may be a password: it is not shown.
                let shown =
                    if url.contains('@') { "has a user or password".to_owned() } else { format!("is \"{url}\"") };
                section.wrong("url", &shown, URLS);
            }
        }
    }
    addresses
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

fn address(url: &str) -> Option<Address> {
    /// What the system takes, its end included.
    const UNIX_BYTES_MAX: usize = 107;
    if let Some(path) = url.strip_prefix("unix:") {
        let fits = path.starts_with('/') && path.len() <= UNIX_BYTES_MAX && !path.chars().any(char::is_control);
        return fits.then(|| Address::Unix(path.into()));
    }
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
    sound.then(|| Address::Tcp { tls, host: bare.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backends_address_is_taken_apart() {
        let tcp = |tls, host: &str, port| Some(Address::Tcp { tls, host: host.to_owned(), port });
        let longest = format!("unix:/{}", "x".repeat(106));
        let too_long = format!("{longest}x");
        for (url, want) in [
            ("http://127.0.0.1:5000", tcp(false, "127.0.0.1", 5000)),
            ("http://app/", tcp(false, "app", 80)),
            ("https://app.example", tcp(true, "app.example", 443)),
            ("http://[::1]:5000", tcp(false, "::1", 5000)),
            ("http://[::1]", tcp(false, "::1", 80)),
            ("unix:/run/app.sock", Some(Address::Unix("/run/app.sock".into()))),
            (longest.as_str(), Some(Address::Unix(longest[5..].into()))),
            (too_long.as_str(), None),
            ("unix:run/app.sock", None),
            ("unix:", None),
            ("http://::1:5000", None),
            ("http://app/path", None),
            ("http://user@app", None),
            ("http://app:0", None),
            ("http://app:99999", None),
            ("ftp://app", None),
            ("app:5000", None),
            ("http://", None),
        ] {
            assert_eq!(address(url), want, "{url}");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for url in ["http://127.0.0.1:81", "https://[::1]:81", "unix:/run/app.sock"] {
            assert_eq!(address(url).unwrap().to_string(), url);
        }
    }
}
