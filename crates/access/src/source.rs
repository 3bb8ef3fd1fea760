//! Where keys come from, and how they are read anew: a file that is looked at, an address that is asked.

use std::path::PathBuf;
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
    #[error("{0}: keys are asked for over https, or over http on this machine only")]
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
    /// Reads the keys. Blocks for as long as `timeout` on an address.
    pub(crate) fn read(&self, bytes_max: u64, timeout: Duration) -> Result<KeySet, KeySourceError> {
        let (from, document) = match self {
            Self::Secret(secret) if secret.len() < SECRET_BYTES_MIN => {
                return Err(KeySourceError::ShortSecret(secret.len()));
            }
            Self::Secret(secret) => return Ok(KeySet::from_secret(secret)),
            Self::File(path) => (path.display().to_string(), read_file(path, bytes_max)?),
            Self::Address(address) => (address.clone(), ask(address, bytes_max, timeout)?),
        };
        KeySet::from_jwks(&document).map_err(|source| KeySourceError::Keys { from, source })
    }

    /// Whether asking again can bring other keys at any moment.
    pub(crate) fn can_rotate(&self) -> bool {
        !matches!(self, Self::Secret(_))
    }
}

fn read_file(path: &std::path::Path, bytes_max: u64) -> Result<Vec<u8>, KeySourceError> {
    let name = || path.display().to_string();
    let failed = |source| KeySourceError::File { path: name(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > bytes_max {
        return Err(KeySourceError::TooLarge(name(), bytes_max));
    }
    std::fs::read(path).map_err(failed)
}

fn ask(address: &str, bytes_max: u64, timeout: Duration) -> Result<Vec<u8>, KeySourceError> {
    if !is_safe(address) {
        return Err(KeySourceError::Unsafe(address.to_owned()));
    }
    let failed = |error: ureq::Error| match error {
        ureq::Error::BodyExceedsLimit(limit) => KeySourceError::TooLarge(address.to_owned(), limit),
        other => KeySourceError::Address { address: address.to_owned(), reason: other.to_string() },
    };
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(timeout)).max_redirects(0).build().into();
    let mut answer = agent.get(address).call().map_err(failed)?;
    answer.body_mut().with_config().limit(bytes_max).read_to_vec().map_err(failed)
}

/// Whether nobody on the way can change the keys.
fn is_safe(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("http://") else { return address.starts_with("https://") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for (address, safe) in [
            ("https://id.example/jwks", true),
            ("http://localhost:9/jwks", true),
            ("http://127.0.0.1/jwks", true),
            ("http://[::1]:80/jwks", true),
            ("http://id.example/jwks", false),
            ("http://localhost.example/jwks", false),
            ("http://localhost@id.example/jwks", false),
            ("ftp://id.example/jwks", false),
        ] {
            assert_eq!(is_safe(address), safe, "{address}");
        }
    }

    #[test]
    fn a_secret_at_its_shortest_is_taken_and_a_shorter_one_is_not() {
        let read = |bytes| KeySource::Secret(vec![1; bytes]).read(1, Duration::ZERO);
        assert!(read(SECRET_BYTES_MIN).is_ok());
        assert!(matches!(read(SECRET_BYTES_MIN - 1), Err(KeySourceError::ShortSecret(31))));
    }
}
