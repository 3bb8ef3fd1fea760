//! Where keys come from, and how they are read anew: a file that is looked at, an address that is asked.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::keys::{KeySet, KeysError, SECRET_BYTES_MIN};

/// Where the keys are.
#[derive(Clone)]
pub enum KeySource {
    /// A JWKS in a file.
    File(PathBuf),
    /// A JWKS at an `https` address, or `http` on this machine.
    Address(String),
    /// A shared secret for HS256.
    Secret(Vec<u8>),
}

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// The address is not safe to ask.
    #[error("{0}: keys are asked for over https, or over http on this machine only, without a user")]
    Unsafe(String),
    /// The secret is too short.
    #[error("the HS256 secret has {0} bytes; allowed: {SECRET_BYTES_MIN} or more")]
    ShortSecret(usize),
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address does not answer.
    #[error("{address}: {reason}")]
    Address {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The answer is too long.
    #[error("{0}: the key set is larger than {1} bytes")]
    TooLarge(String, u64),
    /// What is there is no set of keys.
    #[error("{from}: {source}")]
    Keys {
        /// The file or address.
        from: String,
        /// Why.
        source: KeysError,
    },
}

impl KeySource {
    /// Reads what the keys are made from. Blocks for as long as `timeout` on an address.
    pub(crate) fn read(&self, bytes_max: u64, timeout: Duration) -> Result<Vec<u8>, KeySourceError> {
        match self {
            Self::Secret(secret) => Ok(secret.clone()),
            Self::File(path) => read_file(path, bytes_max),
            Self::Address(address) => ask(address, bytes_max, timeout),
        }
    }

    /// The keys in what was read.
    pub(crate) fn keys(&self, document: &[u8]) -> Result<KeySet, KeySourceError> {
        let from = match self {
            Self::Secret(_) if document.len() < SECRET_BYTES_MIN => {
                return Err(KeySourceError::ShortSecret(document.len()));
            }
            Self::Secret(_) => return Ok(KeySet::from_secret(document)),
            Self::File(path) => path.display().to_string(),
            Self::Address(address) => address.clone(),
        };
        KeySet::from_jwks(document).map_err(|source| KeySourceError::Keys { from, source })
    }
}

fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, KeySourceError> {
    let name = || path.display().to_string();
    let failed = |source| KeySourceError::File { path: name(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut document = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut document).map_err(failed)?;
    let fits = u64::try_from(document.len()).is_ok_and(|bytes| bytes <= bytes_max);
    if fits { Ok(document) } else { Err(KeySourceError::TooLarge(name(), bytes_max)) }
}

fn ask(address: &str, bytes_max: u64, timeout: Duration) -> Result<Vec<u8>, KeySourceError> {
    let way = way_to(address).ok_or_else(|| KeySourceError::Unsafe(without_user(address).to_owned()))?;
    let wrong = |reason| KeySourceError::Address { address: address.to_owned(), reason };
    let failed = |error: ureq::Error| match error {
        ureq::Error::BodyExceedsLimit(limit) => KeySourceError::TooLarge(address.to_owned(), limit),
        other => wrong(other.to_string()),
    };
    let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).max_redirects(0);
    let config = match way {
        Way::Encrypted => config,
        // What is on this machine is reached on this machine, whatever proxy the environment names.
        Way::OnThisMachine => config.proxy(None),
    };
    let agent: ureq::Agent = config.build().into();
    let mut answer = agent.get(address).call().map_err(failed)?;
    if answer.status() != ureq::http::StatusCode::OK {
        return Err(wrong(format!("it answers {}; allowed: 200, redirects are not followed", answer.status())));
    }
    answer.body_mut().with_config().limit(bytes_max).read_to_vec().map_err(failed)
}

/// How keys can travel so that nobody on the way can change them.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Encrypted,
    OnThisMachine,
}

fn way_to(address: &str) -> Option<Way> {
    let uri: ureq::http::Uri = address.parse().ok()?;
    // `http://localhost:80@elsewhere` is elsewhere: who needs no user name gives none.
    if uri.authority()?.as_str().contains('@') {
        return None;
    }
    match (uri.scheme_str()?, uri.host()?) {
        ("https", _) => Some(Way::Encrypted),
        ("http", "localhost" | "127.0.0.1" | "[::1]") => Some(Way::OnThisMachine),
        _ => None,
    }
}

/// The address, without what may be a password.
fn without_user(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for (address, way) in [
            ("https://id.example/jwks", Some(Way::Encrypted)),
            ("https://id.example:8443", Some(Way::Encrypted)),
            ("http://localhost:9/jwks", Some(Way::OnThisMachine)),
            ("http://127.0.0.1/jwks", Some(Way::OnThisMachine)),
            ("http://[::1]:80/jwks", Some(Way::OnThisMachine)),
            ("http://[::1]/jwks", Some(Way::OnThisMachine)),
            ("http://id.example/jwks", None),
            ("http://localhost.example/jwks", None),
            ("http://localhost@id.example/jwks", None),
            ("http://localhost:80@id.example/jwks", None),
            ("http://127.0.0.1:80@id.example/jwks", None),
            ("http://localhost\\@id.example/jwks", None),
            ("https://user:password@id.example/jwks", None),
            ("ftp://id.example/jwks", None),
            ("https://", None),
            ("/jwks", None),
        ] {
            assert_eq!(way_to(address), way, "{address}");
        }
        let error = ask("https://user:password@id.example/jwks", 1, Duration::ZERO).unwrap_err().to_string();
        assert_eq!(
            error,
            "id.example/jwks: keys are asked for over https, or over http on this machine only, without a user"
        );
    }

    #[test]
    fn a_secret_at_its_shortest_is_taken_and_a_shorter_one_is_not() {
        let keys = |bytes| KeySource::Secret(Vec::new()).keys(&vec![1; bytes]);
        assert!(keys(SECRET_BYTES_MIN).is_ok());
        assert!(matches!(keys(SECRET_BYTES_MIN - 1), Err(KeySourceError::ShortSecret(31))));
    }

    #[test]
    fn a_file_at_its_largest_is_read_and_a_larger_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read_file(&file, 5).unwrap(), b"12345");
        assert!(matches!(read_file(&file, 4), Err(KeySourceError::TooLarge(_, 4))));
    }
}
