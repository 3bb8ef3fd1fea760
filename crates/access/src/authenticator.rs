//! Verifies credentials, and remembers those that it has verified until they expire or the keys change.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use ledger::Clock;
use quick_cache::sync::Cache;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::claims::{Claims, Expected, Identity, is_over};
use crate::followed::{Followed, Pace};
use crate::keys::KeySet;
use crate::presented::{Presented, Unauthenticated};
use crate::source::{KeySource, KeySourceError};

/// What is believed, and within which limits.
#[derive(Clone)]
pub struct Options {
    /// `iss` of every credential.
    pub issuer: String,
    /// What `aud` must include.
    pub audience: String,
    /// Where keys come from; a credential is verified with whichever fits.
    pub keys: Vec<KeySource>,
    /// The cookie that may carry the credential.
    pub cookie: Option<String>,
    /// By how much clocks may differ: 30 s.
    pub leeway: Duration,
    /// How often an address is asked for keys: 10 min.
    pub refresh: Duration,
    /// The least time between two questions that an unknown key causes: 30 s.
    pub refetch_floor: Duration,
    /// For how long keys are used whose source fails: 24 h.
    pub stale_max: Duration,
    /// How long an address may take: 5 s.
    pub timeout: Duration,
    /// A key set, in bytes: 1 MiB.
    pub key_set_bytes_max: u64,
    /// A credential, in bytes: 8 KiB.
    pub credential_bytes_max: usize,
    /// Verified credentials that are remembered: 10 000.
    pub remembered_max: usize,
}

impl Options {
    /// Options with every limit at its default.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, keys: Vec<KeySource>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            keys,
            cookie: None,
            leeway: Duration::from_secs(30),
            refresh: Duration::from_mins(10),
            refetch_floor: Duration::from_secs(30),
            stale_max: Duration::from_hours(24),
            timeout: Duration::from_secs(5),
            key_set_bytes_max: 1 << 20,
            credential_bytes_max: 8 << 10,
            remembered_max: 10_000,
        }
    }
}

/// Why nobody could ever be known.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no source of keys.
    #[error("no source of keys is configured; allowed: a JWKS file or address, or a secret")]
    NoKeys,
    /// A source fails.
    #[error(transparent)]
    Source(#[from] KeySourceError),
    /// No thread.
    #[error("keys cannot be followed: {0}")]
    Thread(#[from] std::io::Error),
}

/// Knows callers by their credentials.
pub struct Authenticator {
    options: Options,
    expected: Expected,
    clock: Arc<dyn Clock>,
    sources: Vec<Arc<Followed>>,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

/// Somebody, for as long as the keys that say so are the source's.
struct Verified {
    identity: Arc<Identity>,
    keys: Arc<KeySet>,
    source: Arc<Followed>,
}

impl Verified {
    fn holds(&self) -> bool {
        self.source.keys().is_some_and(|keys| Arc::ptr_eq(&keys, &self.keys))
    }
}

/// The part of a JOSE header that matters; what else a credential names there is not looked at.
#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

impl Authenticator {
    /// Reads the keys, all of which must be there, and follows them from then on.
    pub fn start(options: Options, clock: Arc<dyn Clock>) -> Result<Arc<Self>, StartError> {
        if options.keys.is_empty() {
            return Err(StartError::NoKeys);
        }
        let pace = Pace {
            refresh: options.refresh,
            refetch_floor: options.refetch_floor,
            stale_max: options.stale_max,
            timeout: options.timeout,
            key_set_bytes_max: options.key_set_bytes_max,
        };
        let mut sources = Vec::new();
        for source in &options.keys {
            sources.push(Arc::new(Followed::read(source.clone(), pace)?));
        }
        for source in &sources {
            source.keep_reading()?;
        }
        let expected = Expected {
            issuer: options.issuer.clone(),
            audience: options.audience.clone(),
            leeway_ms: i64::try_from(options.leeway.as_millis()).unwrap_or(i64::MAX),
        };
        let verified = Cache::new(options.remembered_max);
        Ok(Arc::new(Self { options, expected, clock, sources, verified }))
    }

    /// Who presents this credential.
    pub async fn identify(&self, presented: Presented<'_>) -> Result<Arc<Identity>, Unauthenticated> {
        let credential = presented.credential(self.options.cookie.as_deref())?;
        if credential.len() > self.options.credential_bytes_max {
            return Err(Unauthenticated("too long"));
        }
        let digest: [u8; 32] = Sha256::digest(credential).into();
        if let Some(known) = self.verified.get(&digest).filter(|known| known.holds()) {
            if is_over(known.identity.expires_at, self.clock.now(), self.expected.leeway_ms) {
                self.verified.remove(&digest);
                return Err(Unauthenticated("expired"));
            }
            return Ok(Arc::clone(&known.identity));
        }
        let header = header(credential)?;
        let (claims, keys, source) = match self.verify(credential, &header) {
            Err(NoKey) => {
                self.ask_for_unknown(header.kid.as_deref()).await;
                self.verify(credential, &header).map_err(|NoKey| Unauthenticated("no key fits"))?
            }
            Ok(verified) => verified,
        }?;
        let identity = Arc::new(claims.believe(&self.expected, self.clock.now())?);
        self.verified.insert(digest, Arc::new(Verified { identity: Arc::clone(&identity), keys, source }));
        Ok(identity)
    }

    /// Checks the signature with the one key that fits.
    fn verify(&self, credential: &[u8], header: &Header) -> Result<Result<Signed, Unauthenticated>, NoKey> {
        for source in &self.sources {
            let Some(keys) = source.keys() else { continue };
            let Some(key) = keys.find(header.kid.as_deref(), header.alg) else { continue };
            // Only the signature is checked here: claims are ours to check, by our clock.
            let mut validation = Validation::new(key.algorithm);
            validation.required_spec_claims.clear();
            (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
            let decoded = jsonwebtoken::decode::<Claims>(credential, &key.decoding, &validation);
            let claims =
                decoded.map(|decoded| decoded.claims).map_err(|_| Unauthenticated("the signature or a claim is wrong"));
            return Ok(claims.map(|claims| (claims, keys, Arc::clone(source))));
        }
        Err(NoKey)
    }

    async fn ask_for_unknown(&self, kid: Option<&str>) {
        // Without a name there is nothing to look for.
        if kid.is_some() {
            for source in &self.sources {
                source.ask_for_unknown().await;
            }
        }
    }
}

/// What a credential says, and the keys that say that it does.
type Signed = (Claims, Arc<KeySet>, Arc<Followed>);

struct NoKey;

fn header(credential: &[u8]) -> Result<Header, Unauthenticated> {
    let malformed = Unauthenticated("it is no signed JWT");
    let first = credential.split(|byte| *byte == b'.').next().unwrap_or_default();
    let decoded = URL_SAFE_NO_PAD.decode(first).map_err(|_| malformed)?;
    let header: Header = serde_json::from_slice(&decoded).map_err(|_| malformed)?;
    // An extension that must be understood is one that we do not (RFC 7515 §4.1.11).
    if header.crit.is_some() { Err(Unauthenticated("it has critical extensions")) } else { Ok(header) }
}

#[cfg(test)]
mod tests;
