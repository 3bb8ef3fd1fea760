//! Detached ed25519 signatures of plugin files: where keys are configured, nothing loads that none of them signed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::error::LoadError;

/// What stands before the 32 bytes of a key where they are wrapped as OpenSSL prints them (RFC 8410).
const WRAPPING: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// A signature's file: 64 bytes, or their base64 and a line end.
const FILE_BYTES_MAX: u64 = 1_024;

/// A public key that plugins may be signed by.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(VerifyingKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", STANDARD.encode(self.0.as_bytes()))
    }
}

impl FromStr for SigningKey {
    type Err = &'static str;

    /// Reads the base64 of a key: the 32 bytes alone, or the line between those of `openssl pkey -pubout`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str =
            "an ed25519 public key in base64, as the line between BEGIN and END of openssl pkey -pubout";
        let bytes = STANDARD.decode(text.trim()).map_err(|_| ALLOWED)?;
        let key = bytes.strip_prefix(&WRAPPING).unwrap_or(&bytes);
        let key = <[u8; 32]>::try_from(key).map_err(|_| ALLOWED)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| ALLOWED)?;
        // A weak key would sign anything.
        if key.is_weak() { Err(ALLOWED) } else { Ok(Self(key)) }
    }
}

/// Refuses content that none of the keys signed. Without keys everything passes.
pub(crate) fn must_be_signed(keys: &[SigningKey], content: &[u8], signature: Option<&[u8]>) -> Result<(), LoadError> {
    if keys.is_empty() {
        return Ok(());
    }
    let signature = read(signature.ok_or(LoadError::Unsigned)?).ok_or(LoadError::Signature)?;
    let signed = keys.iter().any(|key| key.0.verify_strict(content, &signature).is_ok());
    if signed { Ok(()) } else { Err(LoadError::Signature) }
}

/// A signature as its 64 bytes or their base64.
fn read(text: &[u8]) -> Option<Signature> {
    let bytes = match <[u8; 64]>::try_from(text) {
        Ok(bytes) => bytes,
        Err(_) => STANDARD.decode(text.trim_ascii()).ok()?.try_into().ok()?,
    };
    Some(Signature::from_bytes(&bytes))
}

/// The file of the signature that belongs to a plugin's file: `NAME.wasm.sig`.
pub fn signature_path(plugin: &Path) -> PathBuf {
    let mut path = plugin.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// The signature beside a plugin's file, in base64; `None` where there is none.
pub fn signature_beside(plugin: &Path) -> Result<Option<String>, LoadError> {
    match crate::plugin::read(&signature_path(plugin), FILE_BYTES_MAX) {
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
        Ok(bytes) if bytes.len() == 64 => Ok(Some(STANDARD.encode(bytes))),
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(bytes.trim_ascii()).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signer as _;

    use super::*;

    const CONTENT: &[u8] = b"a component";

    fn pair(seed: u8) -> (ed25519_dalek::SigningKey, SigningKey) {
        let secret = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        let public = STANDARD.encode(secret.verifying_key().as_bytes()).parse().unwrap();
        (secret, public)
    }

    #[test]
    fn only_what_a_configured_key_signed_passes() {
        let ((ours, our_key), (theirs, their_key), (strange, _)) = (pair(1), pair(2), pair(3));
        let keys = [our_key, their_key];
        let signed = |by: &ed25519_dalek::SigningKey, content: &[u8]| by.sign(content).to_bytes().to_vec();
        let mut flipped = signed(&ours, CONTENT);
        flipped[40] ^= 1;
        let base64 = format!("{}\n", STANDARD.encode(signed(&theirs, CONTENT))).into_bytes();
        let cases = [
            ("by the first key", Some(signed(&ours, CONTENT)), None),
            ("by the second, in base64", Some(base64), None),
            ("not at all", None, Some("unsigned")),
            ("by a strange key", Some(signed(&strange, CONTENT)), Some("signature")),
            ("something else", Some(signed(&ours, b"a component.")), Some("signature")),
            ("and then changed", Some(flipped), Some("signature")),
            ("with nothing", Some(Vec::new()), Some("signature")),
            ("with nonsense", Some(b"not base64!".to_vec()), Some("signature")),
        ];
        for (name, signature, refused) in cases {
            let passed = must_be_signed(&keys, CONTENT, signature.as_deref());
            assert_eq!(passed.as_ref().err().map(LoadError::cause), refused, "signed {name}");
            assert!(must_be_signed(&[], CONTENT, signature.as_deref()).is_ok(), "without keys nobody asks");
        }
    }

    #[test]
    fn a_key_is_read_as_openssl_prints_it_and_alone() {
        // The example of RFC 8410, section 10.1.
        let wrapped: SigningKey = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=".parse().unwrap();
        assert_eq!("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=".parse::<SigningKey>().unwrap(), wrapped);
        let weak = STANDARD.encode([&[1][..], &[0; 31]].concat());
        for bad in ["", "AAAA", "not a key", weak.as_str()] {
            assert!(bad.parse::<SigningKey>().is_err(), "{bad}");
        }
    }
}
