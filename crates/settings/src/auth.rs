//! `[auth]`: whose credentials are believed.

use std::path::PathBuf;
use std::time::Duration;

use crate::document::{Document, Origin};
use crate::secret::Secret;
use crate::section::Section;

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// `iss` of every credential.
    pub issuer: String,
    /// What `aud` must include.
    pub audience: String,
    /// A JWKS: an `https` address, `http` on this machine, or a file.
    pub jwks: Option<String>,
    /// A file with a shared secret for HS256.
    pub hs256_secret_file: Option<PathBuf>,
    /// The secret itself, from the environment only.
    pub hs256_secret: Option<Secret>,
    /// The cookie that may carry the credential.
    pub cookie: Option<String>,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// How often a JWKS address is asked.
    pub jwks_refresh: Duration,
}

impl Auth {
    pub(crate) fn read(document: &mut Document) -> Self {
        let seconds = Duration::from_secs;
        let mut section = Section::open(document, "auth");
        let read = Self {
            issuer: section.required("issuer", "the iss of your credentials"),
            audience: section.required("audience", "the aud of your credentials"),
            jwks: section.text("jwks").filter(|jwks| !jwks.is_empty()),
            hs256_secret_file: section.text("hs256_secret_file").filter(|file| !file.is_empty()).map(PathBuf::from),
            hs256_secret: secret(&mut section),
            cookie: cookie(&mut section),
            leeway: section.duration("leeway", seconds(30), seconds(0)..=seconds(600)),
            jwks_refresh: section.duration("jwks_refresh", seconds(600), seconds(1)..=seconds(86_400)),
        };
        if read.jwks.is_none() && read.hs256_secret_file.is_none() && read.hs256_secret.is_none() {
            section.wrong("jwks", "is missing, and so is hs256_secret_file", "one of them or both");
        }
        section.close();
        read
    }
}

/// A secret in a file that others read would be none: it comes from the environment or a file of its own. From there it is
/// taken as it stands, quotes and all.
fn secret(section: &mut Section<'_>) -> Option<Secret> {
    match section.take("hs256_secret")?.origin {
        Origin::Variable(_, secret) if secret.is_empty() => None,
        Origin::Variable(_, secret) => Some(Secret::new(secret)),
        Origin::Line(_) => {
            let allowed = "hs256_secret_file here, or GATEWAY__AUTH__HS256_SECRET in the environment";
            section.wrong("hs256_secret", "is a secret in the configuration file", allowed);
            None
        }
    }
}

fn cookie(section: &mut Section<'_>) -> Option<String> {
    let name = section.text("cookie")?;
    // A token of RFC 9110 §5.6.2, which is what a cookie's name is.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() {
        return None;
    }
    if !name.bytes().all(token) {
        section.wrong("cookie", &format!("is \"{name}\""), "a cookie's name");
    }
    Some(name)
}
