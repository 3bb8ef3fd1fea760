//! The secrets of API keys: how one is made, and the digest by which it is recognised. A secret must never be printed but in
//! the one answer that hands it out.

use std::fmt;

use ledger::{ApiKeyId, Hexadecimal, KeyDigest};
use sha2::{Digest as _, Sha256};

/// Random bytes of the secret.
const SECRET_BYTES: usize = 32;
/// Random bytes of the public part.
const ID_BYTES: usize = ApiKeyId::DIGITS / 2;

/// A key's whole text: `gwk_`, the public part's 16 digits, `_`, and 64 hexadecimal digits that the system's generator made.
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A key that was made just now.
#[derive(Debug)]
pub struct NewKey {
    /// Its public part.
    pub id: ApiKeyId,
    /// What its caller presents.
    pub secret: Secret,
    /// What is kept of that.
    pub digest: KeyDigest,
}

impl NewKey {
    /// A new key. Fails where the system has no randomness, and then there is no key.
    pub fn random() -> Result<Self, std::io::Error> {
        let (mut public, mut private) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        for bytes in [&mut public[..], &mut private[..]] {
            getrandom::fill(bytes).map_err(std::io::Error::from)?;
        }
        let id = format!("{}{}", ApiKeyId::PREFIX, Hexadecimal(&public));
        let secret = format!("{id}_{}", Hexadecimal(&private));
        let id = id.parse().map_err(std::io::Error::other)?;
        Ok(Self { id, digest: digest_of(secret.as_bytes()), secret: Secret(secret) })
    }
}

/// The digest of a key as it was presented.
pub fn digest_of(presented: &[u8]) -> KeyDigest {
    KeyDigest(Sha256::digest(presented).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_unlike_any_other_and_known_by_its_digest_alone() {
        let (one, other) = (NewKey::random().unwrap(), NewKey::random().unwrap());
        let text = one.secret.reveal();
        assert!(text.len() == 85 && text.starts_with(&format!("{}_", one.id)), "{text}");
        assert_ne!((one.secret.reveal(), &one.id), (other.secret.reveal(), &other.id));
        assert_eq!(digest_of(text.as_bytes()), one.digest);
        assert_ne!(digest_of(text.as_bytes().split_last().unwrap().1), one.digest);
        assert_eq!(format!("{:?}", one.secret), "Secret(***)");
    }
}
