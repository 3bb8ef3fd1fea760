//! Verifies credentials, and remembers those that it has verified until they expire or the keys change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use ledger::Clock;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::claims::{Claims, Expected, Identity, is_over};
use crate::keys::KeySet;
use crate::presented::{Presented, Unauthenticated};
use crate::source::{KeySource, KeySourceError};

/// How often a key file is looked at.
const FILE_POLL: Duration = Duration::from_secs(1);

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
    sources: Vec<Followed>,
    /// Counts changes of keys: what was verified before one is verified again.
    generation: AtomicU64,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

struct Verified {
    identity: Arc<Identity>,
    generation: u64,
}

/// A source, and its keys as last read.
struct Followed {
    source: KeySource,
    keys: ArcSwap<KeySet>,
    times: Mutex<Times>,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
}

struct Times {
    read: Instant,
    asked: Option<Instant>,
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
        let follow = |source: &KeySource| -> Result<Followed, KeySourceError> {
            let keys = source.read(options.key_set_bytes_max, options.timeout)?;
            let times = Mutex::new(Times { read: Instant::now(), asked: None });
            Ok(Followed { source: source.clone(), keys: ArcSwap::from_pointee(keys), times, asking: tokio::sync::Mutex::default() })
        };
        let authenticator = Arc::new(Self {
            expected: Expected {
                issuer: options.issuer.clone(),
                audience: options.audience.clone(),
                leeway_ms: i64::try_from(options.leeway.as_millis()).unwrap_or(i64::MAX),
            },
            sources: options.keys.iter().map(follow).collect::<Result<_, _>>()?,
            generation: AtomicU64::new(0),
            verified: Cache::new(options.remembered_max),
            clock,
            options,
        });
        for (index, followed) in authenticator.sources.iter().enumerate() {
            if followed.source.can_rotate() {
                let name = std::thread::Builder::new().name("access-keys".to_owned());
                let weak = Arc::downgrade(&authenticator);
                let every = match &followed.source {
                    KeySource::File(_) => FILE_POLL.min(authenticator.options.refresh),
                    _ => authenticator.options.refresh,
                };
                name.spawn(move || keep_reading(&weak, index, every))?;
            }
        }
        Ok(authenticator)
    }

    /// Who presents this credential.
    pub async fn identify(&self, presented: Presented<'_>) -> Result<Arc<Identity>, Unauthenticated> {
        let credential = presented.credential(self.options.cookie.as_deref())?;
        if credential.len() > self.options.credential_bytes_max {
            return Err(Unauthenticated("too long"));
        }
        let digest: [u8; 32] = Sha256::digest(credential).into();
        let now = self.clock.now();
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(known) = self.verified.get(&digest).filter(|known| known.generation == generation) {
            if is_over(known.identity.expires_at, now, self.expected.leeway_ms) {
                self.verified.remove(&digest);
                return Err(Unauthenticated("expired"));
            }
            return Ok(Arc::clone(&known.identity));
        }
        let header = header(credential)?;
        let claims = match self.verify(credential, &header) {
            Err(NoKey) => {
                self.ask_again(header.kid.as_deref()).await;
                self.verify(credential, &header).map_err(|NoKey| Unauthenticated("no key fits"))?
            }
            Ok(verified) => verified,
        };
        let identity = Arc::new(claims?.believe(&self.expected, now)?);
        self.verified.insert(digest, Arc::new(Verified { identity: Arc::clone(&identity), generation }));
        Ok(identity)
    }

    /// Checks the signature with the one key that fits.
    fn verify(&self, credential: &[u8], header: &Header) -> Result<Result<Claims, Unauthenticated>, NoKey> {
        for followed in &self.sources {
            if followed.times.lock().read.elapsed() > self.options.stale_max && followed.source.can_rotate() {
                continue;
            }
            let keys = followed.keys.load();
            let Some(key) = keys.find(header.kid.as_deref(), header.alg) else { continue };
            // Only the signature is checked here: claims are ours to check, by our clock.
            let mut validation = Validation::new(key.algorithm);
            validation.required_spec_claims.clear();
            (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
            let decoded = jsonwebtoken::decode::<Claims>(credential, &key.decoding, &validation);
            return Ok(decoded.map(|decoded| decoded.claims).map_err(|_| Unauthenticated("the signature or a claim is wrong")));
        }
        Err(NoKey)
    }

    /// A key that we do not know may be new: asks the addresses, once for all who wait, and not again for a while.
    async fn ask_again(&self, kid: Option<&str>) {
        if kid.is_none() {
            return;
        }
        for (index, followed) in self.sources.iter().enumerate() {
            if !matches!(followed.source, KeySource::Address(_)) {
                continue;
            }
            let _one_at_a_time = followed.asking.lock().await;
            let due = {
                let mut times = followed.times.lock();
                let due = times.asked.is_none_or(|asked| asked.elapsed() >= self.options.refetch_floor);
                if due {
                    times.asked = Some(Instant::now());
                }
                due
            };
            if due {
                let (source, bytes_max, timeout) = (followed.source.clone(), self.options.key_set_bytes_max, self.options.timeout);
                let read = tokio::task::spawn_blocking(move || source.read(bytes_max, timeout)).await;
                if let Ok(read) = read {
                    self.take(index, read);
                }
            }
        }
    }

    /// Takes new keys over; keeps the old ones where there are none.
    fn take(&self, index: usize, read: Result<KeySet, KeySourceError>) {
        let Some(followed) = self.sources.get(index) else { return };
        match read {
            Ok(keys) => {
                followed.keys.store(Arc::new(keys));
                followed.times.lock().read = Instant::now();
                self.generation.fetch_add(1, Ordering::AcqRel);
            }
            Err(error) => tracing::warn!(%error, "keys cannot be read: the old ones stay for now"),
        }
    }
}

struct NoKey;

/// Reads a source every so often, for as long as anyone authenticates. A file is read only when it changed.
fn keep_reading(authenticator: &Weak<Authenticator>, index: usize, every: Duration) {
    let mut seen = None;
    loop {
        std::thread::sleep(every);
        let Some(authenticator) = authenticator.upgrade() else { return };
        let Some(followed) = authenticator.sources.get(index) else { return };
        if let KeySource::File(path) = &followed.source {
            let state = std::fs::read(path).ok().map(|document| <[u8; 32]>::from(Sha256::digest(&document)));
            if state.is_none() || state == seen {
                // An unchanged file is as good as a new answer: it does not go stale.
                if state.is_some() {
                    followed.times.lock().read = Instant::now();
                }
                continue;
            }
            seen = state;
        }
        let read = followed.source.read(authenticator.options.key_set_bytes_max, authenticator.options.timeout);
        authenticator.take(index, read);
    }
}

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
