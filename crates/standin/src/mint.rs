//! An identity provider in miniature, for the demo and the tests: signs who somebody is with a shared secret (HS256).
//! It must never sign for anybody but stand-ins.

use std::fmt;
use std::io::{self, Read as _};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ledger::Timestamp;
use serde::Serialize;
use thiserror::Error;

/// How long a fresh secret is, in bytes.
const SECRET_BYTES: usize = 32;

/// Somebody to sign for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// `sub`: the user's id.
    pub subject: String,
    /// The user's name, if the credential shall carry it.
    pub name: Option<String>,
    /// The user's address, if the credential shall carry it.
    pub email: Option<String>,
    /// Whether this is one of the platform's operators.
    pub platform_admin: bool,
}

impl Person {
    /// Somebody with an id and nothing else.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..Self::default() }
    }

    /// One of the platform's operators.
    pub fn operator(subject: impl Into<String>) -> Self {
        Self { platform_admin: true, ..Self::new(subject) }
    }

    /// The same person with a name and an address.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, email: impl Into<String>) -> Self {
        (self.name, self.email) = (Some(name.into()), Some(email.into()));
        self
    }
}

/// Signs credentials.
pub struct Mint {
    issuer: String,
    audience: String,
    key: EncodingKey,
}

/// A credential that could not be signed.
#[derive(Debug, Error)]
#[error("the credential cannot be signed")]
pub struct MintError(#[from] jsonwebtoken::errors::Error);

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    platform_admin: bool,
}

impl Mint {
    /// A mint that signs for one issuer and audience with a secret.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, secret: &[u8]) -> Self {
        Self { issuer: issuer.into(), audience: audience.into(), key: EncodingKey::from_secret(secret) }
    }

    /// A fresh secret from the operating system, as text that fits a secret file.
    pub fn fresh_secret() -> io::Result<String> {
        let mut random = [0_u8; SECRET_BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        Ok(ledger::Hexadecimal(&random).to_string())
    }

    /// A credential for somebody, valid until `expires`.
    pub fn credential(&self, person: &Person, expires: Timestamp) -> Result<String, MintError> {
        let claims = Claims {
            iss: &self.issuer,
            aud: &self.audience,
            sub: &person.subject,
            exp: expires.millis().div_euclid(1_000),
            name: person.name.as_deref(),
            email: person.email.as_deref(),
            platform_admin: person.platform_admin,
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)?)
    }
}

/// The secret stays unprinted.
impl fmt::Debug for Mint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Mint for {} and {}", self.issuer, self.audience)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde_json::{Value, json};

    use super::*;

    /// 2100-01-01, in milliseconds.
    const FAR: i64 = 4_102_444_800_000;

    fn claims(person: &Person) -> Value {
        let credential = Mint::new("here", "there", b"secret").credential(person, Timestamp::from_millis(FAR)).unwrap();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&["here"]);
        validation.set_audience(&["there"]);
        decode::<Value>(&credential, &DecodingKey::from_secret(b"secret"), &validation).unwrap().claims
    }

    #[test]
    fn a_credential_says_who_somebody_is_and_no_more() {
        let ann = claims(&Person::new("ann"));
        assert_eq!(ann, json!({"iss": "here", "aud": "there", "sub": "ann", "exp": FAR / 1_000}));
        let boss = claims(&Person::operator("boss").named("Bo Ss", "bo@example.com"));
        assert_eq!(boss["platform_admin"], json!(true));
        assert_eq!((&boss["name"], &boss["email"]), (&json!("Bo Ss"), &json!("bo@example.com")));
    }

    #[test]
    fn fresh_secrets_are_long_and_differ() {
        let (one, other) = (Mint::fresh_secret().unwrap(), Mint::fresh_secret().unwrap());
        assert_eq!(one.len(), 2 * SECRET_BYTES);
        assert_ne!(one, other);
    }

    #[test]
    fn a_mint_does_not_print_its_secret() {
        assert_eq!(format!("{:?}", Mint::new("here", "there", b"secret")), "Mint for here and there");
    }
}
