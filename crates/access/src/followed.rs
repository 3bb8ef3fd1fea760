//! A source of keys, followed: its keys as last read, and how others take their place. It must never forget keys that work
//! for an answer that does not.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::keys::KeySet;
use crate::source::{KeySource, KeySourceError};

/// How often a key file is looked at.
const FILE_POLL: Duration = Duration::from_secs(1);

/// How a source is followed.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) refresh: Duration,
    pub(crate) refetch_floor: Duration,
    pub(crate) stale_max: Duration,
    pub(crate) timeout: Duration,
    pub(crate) key_set_bytes_max: u64,
}

/// A source, and its keys as last read.
pub(crate) struct Followed {
    source: KeySource,
    pace: Pace,
    keys: ArcSwap<KeySet>,
    seen: Mutex<Seen>,
    /// One question at a time.
    asking: Arc<tokio::sync::Mutex<()>>,
}

struct Seen {
    /// What the keys were read from.
    document: Vec<u8>,
    /// When the source last gave sound keys.
    read: Instant,
    /// When an unknown key last caused a question.
    asked: Option<Instant>,
    /// What is wrong with a file, said once.
    failure: Option<String>,
}

impl Followed {
    /// Reads the keys, which must be there. Blocks.
    pub(crate) fn read(source: KeySource, pace: Pace) -> Result<Self, KeySourceError> {
        let document = source.read(pace.key_set_bytes_max, pace.timeout)?;
        let keys = ArcSwap::from_pointee(source.keys(&document)?);
        let seen = Mutex::new(Seen { document, read: Instant::now(), asked: None, failure: None });
        Ok(Self { source, pace, keys, seen, asking: Arc::default() })
    }

    /// Reads the source every so often, for as long as anyone else has it.
    pub(crate) fn keep_reading(self: &Arc<Self>) -> std::io::Result<()> {
        let every = match self.source {
            KeySource::Secret(_) => return Ok(()),
            KeySource::File(_) => FILE_POLL.min(self.pace.refresh),
            KeySource::Address(_) => self.pace.refresh,
        };
        let followed = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("access-keys".to_owned());
        thread.spawn(move || {
            loop {
                std::thread::sleep(every);
                let Some(followed) = Weak::upgrade(&followed) else { return };
                followed.ask();
            }
        })?;
        Ok(())
    }

    /// The keys; `None` once their source has failed for too long.
    pub(crate) fn keys(&self) -> Option<Arc<KeySet>> {
        let rotates = !matches!(self.source, KeySource::Secret(_));
        let is_stale = rotates && self.seen.lock().read.elapsed() > self.pace.stale_max;
        (!is_stale).then(|| self.keys.load_full())
    }

    /// Somebody shows a key that we do not know, and it may be new: asks the address, once for all who wait, and not again
    /// for a while.
    pub(crate) async fn ask_for_unknown(self: &Arc<Self>) {
        if !matches!(self.source, KeySource::Address(_)) {
            return;
        }
        let one_at_a_time = Arc::clone(&self.asking).lock_owned().await;
        if self.is_due() {
            // The answer counts even if the caller who caused the question has left.
            let followed = Arc::clone(self);
            let question = tokio::task::spawn_blocking(move || {
                followed.ask();
                drop(one_at_a_time);
            });
            if let Err(error) = question.await {
                tracing::error!(%error, "keys were not asked for");
            }
        }
    }

    fn is_due(&self) -> bool {
        let mut seen = self.seen.lock();
        let due = seen.asked.is_none_or(|asked| asked.elapsed() >= self.pace.refetch_floor);
        if due {
            seen.asked = Some(Instant::now());
        }
        due
    }

    /// Takes new keys over; keeps the old ones where there are none. Blocks.
    fn ask(&self) {
        let read = self.source.read(self.pace.key_set_bytes_max, self.pace.timeout);
        let mut seen = self.seen.lock();
        let keys = match read {
            // As good as a new answer: what is remembered stays, and does not go stale.
            Ok(document) if document == seen.document => None,
            Ok(document) => match self.source.keys(&document) {
                Ok(keys) => Some((keys, document)),
                Err(error) => return self.fail(&mut seen, &error),
            },
            Err(error) => return self.fail(&mut seen, &error),
        };
        if let Some((keys, document)) = keys {
            self.keys.store(Arc::new(keys));
            seen.document = document;
            tracing::info!("keys changed");
        }
        (seen.read, seen.failure) = (Instant::now(), None);
    }

    fn fail(&self, seen: &mut Seen, error: &KeySourceError) {
        let said = error.to_string();
        // A file is looked at every second: what is wrong with it is news once.
        let is_news = !matches!(self.source, KeySource::File(_)) || seen.failure.as_ref() != Some(&said);
        if is_news {
            tracing::warn!(%error, "keys cannot be read: the old ones stay for now");
        }
        seen.failure = Some(said);
    }
}

#[cfg(test)]
impl Followed {
    /// As if sound keys had last been read so long ago.
    pub(crate) fn age(&self, by: Duration) {
        self.seen.lock().read = Instant::now().checked_sub(by).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWKS: &str = include_str!("../tests/keys/jwks.json");
    const PACE: Pace = Pace {
        refresh: Duration::from_hours(1),
        refetch_floor: Duration::from_secs(30),
        stale_max: Duration::from_secs(20),
        timeout: Duration::from_secs(5),
        key_set_bytes_max: 1 << 20,
    };

    #[test]
    fn keys_change_with_their_file_and_only_with_a_sound_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, JWKS).unwrap();
        let followed = Followed::read(KeySource::File(file.clone()), PACE).unwrap();
        let first = followed.keys().unwrap();
        followed.ask();
        assert!(Arc::ptr_eq(&first, &followed.keys().unwrap()), "the same document changes nothing");
        for bad in ["{", r#"{"keys": []}"#, &" ".repeat((1 << 20) + 1)] {
            std::fs::write(&file, bad).unwrap();
            followed.ask();
            assert!(Arc::ptr_eq(&first, &followed.keys().unwrap()));
            assert!(followed.seen.lock().failure.is_some());
        }
        std::fs::remove_file(&file).unwrap();
        followed.ask();
        assert!(Arc::ptr_eq(&first, &followed.keys().unwrap()), "no file changes nothing");
        std::fs::write(&file, format!("{JWKS}\n")).unwrap();
        followed.ask();
        assert!(!Arc::ptr_eq(&first, &followed.keys().unwrap()), "another document brings other keys");
        assert!(followed.seen.lock().failure.is_none());
    }

    #[test]
    fn a_source_that_fails_for_too_long_has_no_keys_until_it_is_sound_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, JWKS).unwrap();
        let followed = Followed::read(KeySource::File(file.clone()), PACE).unwrap();
        followed.age(Duration::from_secs(19));
        assert!(followed.keys().is_some());
        std::fs::write(&file, "{").unwrap();
        followed.age(Duration::from_secs(21));
        for _ in 0..2 {
            followed.ask();
            assert!(followed.keys().is_none(), "a damaged file is no answer, however often it is read");
        }
        std::fs::write(&file, JWKS).unwrap();
        followed.ask();
        assert!(followed.keys().is_some());
        let secret = Followed::read(KeySource::Secret(vec![1; 32]), PACE).unwrap();
        secret.age(Duration::from_secs(21));
        assert!(secret.keys().is_some(), "a secret does not go stale");
    }
}
