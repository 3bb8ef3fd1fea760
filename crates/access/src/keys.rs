//! The keys that sign credentials: from a JWKS (RFC 7517) or a shared secret. Each key has the one algorithm that it is
//! for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// Shorter RSA keys are refused (NIST SP 800-131A): bytes of the modulus, all bits of which count.
const RSA_BYTES_MIN: usize = 256;
/// Shorter secrets are refused (RFC 7518 §3.2): bytes.
pub(crate) const SECRET_BYTES_MIN: usize = 32;
/// Keys of a set, at most.
const KEYS_MAX: usize = 64;

/// Keys, as they are now.
#[derive(Default)]
pub(crate) struct KeySet(Vec<Key>);

pub(crate) struct Key {
    id: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

/// Why a set of keys is refused.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It is no JWKS.
    #[error("it is no JSON Web Key Set: {0}")]
    NotAKeySet(String),
    /// There is nothing to verify with.
    #[error("it has no key for RS256, ES256 or EdDSA signatures")]
    Empty,
    /// More keys than anyone needs.
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
    /// It gives away a private key.
    #[error("it has a private or symmetric key, which must not be published")]
    Private,
    /// A key is too short to be safe.
    #[error("it has an RSA key under {} bits", RSA_BYTES_MIN * 8)]
    Weak,
    /// Which key is meant cannot be told.
    #[error("two of its keys have the same kid")]
    Ambiguous,
    /// A key's numbers are none.
    #[error("it has a damaged key")]
    Damaged,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Published>,
}

#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
    k: Option<serde::de::IgnoredAny>,
}

impl KeySet {
    /// The keys of a JWKS that verify signatures. Keys for other uses or algorithms are passed over.
    pub(crate) fn from_jwks(document: &[u8]) -> Result<Self, KeysError> {
        let document: Document =
            serde_json::from_slice(document).map_err(|error| KeysError::NotAKeySet(error.to_string()))?;
        if document.keys.len() > KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let mut keys: Vec<Key> = Vec::new();
        for published in document.keys {
            let Some(key) = published.key()? else { continue };
            if key.id.is_some() && keys.iter().any(|known| known.id == key.id) {
                return Err(KeysError::Ambiguous);
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeysError::Empty) } else { Ok(Self(keys)) }
    }

    /// A shared secret, for HS256 and nothing else.
    pub(crate) fn from_secret(secret: &[u8]) -> Self {
        Self(vec![Key { id: None, algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(secret) }])
    }

    /// The one key that a credential can be signed with. Where several could be meant, none is.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let fits = |key: &&Key| match (kid, key.id.as_deref()) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        };
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm).filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(key),
            _ => None,
        }
    }
}

impl Published {
    fn key(&self) -> Result<Option<Key>, KeysError> {
        if self.d.is_some() || self.k.is_some() || self.kty == "oct" {
            return Err(KeysError::Private);
        }
        let signs = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !signs || !verifies {
            return Ok(None);
        }
        let is_for = |algorithm: &str| self.alg.as_deref().is_none_or(|alg| alg == algorithm);
        let part = |part: &Option<String>| part.clone().ok_or(KeysError::Damaged);
        let (algorithm, decoding) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) if is_for("RS256") => {
                let (modulus, exponent) = (part(&self.n)?, part(&self.e)?);
                let bytes = URL_SAFE_NO_PAD.decode(&modulus).map_err(|_| KeysError::Damaged)?;
                if !is_long_enough(&bytes) {
                    return Err(KeysError::Weak);
                }
                (Algorithm::RS256, DecodingKey::from_rsa_components(&modulus, &exponent))
            }
            ("EC", Some("P-256")) if is_for("ES256") => {
                (Algorithm::ES256, DecodingKey::from_ec_components(&part(&self.x)?, &part(&self.y)?))
            }
            ("OKP", Some("Ed25519")) if is_for("EdDSA") || is_for("Ed25519") => {
                (Algorithm::EdDSA, DecodingKey::from_ed_components(&part(&self.x)?))
            }
            _ => return Ok(None),
        };
        let decoding = decoding.map_err(|_| KeysError::Damaged)?;
        Ok(Some(Key { id: self.kid.clone(), algorithm, decoding }))
    }
}

/// Whether a modulus, written as bytes from the highest, has its bits.
fn is_long_enough(modulus: &[u8]) -> bool {
    let significant = modulus.iter().position(|byte| *byte != 0).and_then(|at| modulus.get(at..)).unwrap_or_default();
    let has_top_bit = significant.first().is_some_and(|byte| *byte >= 0x80);
    significant.len() > RSA_BYTES_MIN || (significant.len() == RSA_BYTES_MIN && has_top_bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(keys: serde_json::Value) -> String {
        let document = serde_json::to_vec(&json!({ "keys": keys })).unwrap();
        KeySet::from_jwks(&document).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn sets_that_are_unsafe_or_useless_are_refused() {
        let okp =
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let with = |more: serde_json::Value| {
            let mut key = okp.clone();
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let cases = [
            (json!([]), "it has no key"),
            (json!([with(json!({"use": "enc"}))]), "it has no key"),
            (json!([with(json!({"key_ops": ["sign"]}))]), "it has no key"),
            (json!([with(json!({"alg": "HS256"}))]), "it has no key"),
            (json!([with(json!({"crv": "X25519"}))]), "it has no key"),
            (json!([okp, okp]), "the same kid"),
            (json!([with(json!({"d": "AAAA"}))]), "a private or symmetric key"),
            (json!([{"kty": "oct", "k": "AAAA"}]), "a private or symmetric key"),
            (json!([{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]), "an RSA key under 2048 bits"),
            (json!([{"kty": "RSA", "n": "!", "e": "AQAB"}]), "a damaged key"),
            (json!([{"kty": "EC", "crv": "P-256"}]), "a damaged key"),
            (json!("no list"), "no JSON Web Key Set"),
            (json!(vec![okp.clone(); KEYS_MAX + 1]), "more than 64 keys"),
        ];
        for (keys, why) in cases {
            let said = refused(keys.clone());
            assert!(said.contains(why), "{keys}: {said}");
        }
        assert_eq!(refused(json!([okp, {"kty": "EC", "crv": "P-521", "kid": "b"}])), "", "other keys are passed over");
        let numbered = |number: usize| with(json!({"kid": number.to_string()}));
        assert_eq!(refused((0..KEYS_MAX).map(numbered).collect()), "", "a set at its largest");
    }

    #[test]
    fn an_rsa_key_of_2048_bits_is_taken_and_one_of_2047_is_not() {
        let rsa = |first: u8, zeros: usize| {
            let modulus = [vec![0; zeros], vec![first], vec![0xff; RSA_BYTES_MIN - 1]].concat();
            refused(json!([{"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"}]))
        };
        assert_eq!((rsa(0x80, 0), rsa(0x80, 1)), (String::new(), String::new()));
        for (first, zeros) in [(0x7f, 0), (0x7f, 1), (0, 8)] {
            assert!(rsa(first, zeros).contains("an RSA key under 2048 bits"), "{first} after {zeros} zeros");
        }
    }

    #[test]
    fn a_key_is_found_only_where_no_other_could_be_meant() {
        let ed = |kid: Option<&str>| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let set = |keys: serde_json::Value| {
            KeySet::from_jwks(&serde_json::to_vec(&json!({ "keys": keys })).unwrap()).unwrap()
        };
        let found = |set: &KeySet, kid| set.find(kid, Algorithm::EdDSA).is_some();
        let (one, two, nameless) =
            (set(json!([ed(Some("a"))])), set(json!([ed(Some("a")), ed(Some("b"))])), set(json!([ed(None), ed(None)])));
        assert!(found(&one, Some("a")) && found(&one, None) && found(&two, Some("b")));
        assert!(
            !found(&one, Some("b")) && !found(&two, None) && !found(&nameless, None) && !found(&nameless, Some("a"))
        );
        assert!(one.find(Some("a"), Algorithm::HS256).is_none() && one.find(Some("a"), Algorithm::ES256).is_none());
    }
}
