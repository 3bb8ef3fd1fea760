//! Calls of one key at this gateway: one is in front, the others wait for what it is told. Nothing here outlives its call.

use std::collections::HashMap;
use std::sync::Arc;

use ledger::{CallKey, TakenKey};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Calls that wait, at most: each holds its body and its place among the calls in flight.
const WAITING_MAX: usize = 1_024;

type News = Option<Arc<TakenKey>>;

/// The lines of all keys.
pub(super) struct Line {
    fronts: Mutex<HashMap<CallKey, Front>>,
    waiting: Arc<Semaphore>,
}

struct Front {
    fingerprint: String,
    news: watch::Receiver<News>,
}

/// Where a call stands.
pub(super) enum Place {
    Front(Turn),
    Behind(Behind),
    /// Too many wait already.
    Full,
}

/// The front of a line, until it is dropped.
pub(super) struct Turn {
    line: Arc<Line>,
    call: CallKey,
    news: watch::Sender<News>,
}

/// A place behind another call.
pub(super) struct Behind {
    /// What the call in front is.
    pub(super) fingerprint: String,
    news: watch::Receiver<News>,
    _waiting: OwnedSemaphorePermit,
}

impl Line {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { fronts: Mutex::default(), waiting: Arc::new(Semaphore::new(WAITING_MAX)) })
    }

    /// Joins the line of a key.
    pub(super) fn join(self: &Arc<Self>, call: &CallKey, fingerprint: &str) -> Place {
        let mut fronts = self.fronts.lock();
        if let Some(front) = fronts.get(call) {
            let Ok(waiting) = Arc::clone(&self.waiting).try_acquire_owned() else { return Place::Full };
            let (fingerprint, news) = (front.fingerprint.clone(), front.news.clone());
            return Place::Behind(Behind { fingerprint, news, _waiting: waiting });
        }
        let (tell, news) = watch::channel(None);
        fronts.insert(call.clone(), Front { fingerprint: fingerprint.to_owned(), news });
        Place::Front(Turn { line: Arc::clone(self), call: call.clone(), news: tell })
    }
}

impl Turn {
    /// Tells those behind what became of the key.
    pub(super) fn tell(&self, taken: Arc<TakenKey>) {
        self.news.send_replace(Some(taken));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.line.fronts.lock().remove(&self.call);
    }
}

impl Behind {
    /// What the call in front was told; `None` where it left without news.
    pub(super) async fn taken(&mut self) -> News {
        self.news.wait_for(Option::is_some).await.ok().and_then(|news| news.clone())
    }
}

#[cfg(test)]
mod tests {
    use ledger::KeptAnswer;

    use super::*;

    fn call() -> CallKey {
        CallKey { organization_id: "acme".parse().unwrap(), endpoint: "/a".into(), key: "k".parse().unwrap() }
    }

    fn front(line: &Arc<Line>) -> Option<Turn> {
        match line.join(&call(), "f") {
            Place::Front(turn) => Some(turn),
            Place::Behind(_) | Place::Full => None,
        }
    }

    #[tokio::test]
    async fn those_behind_hear_what_the_one_in_front_was_told_or_that_it_left() {
        let line = Line::new();
        for told in [true, false] {
            let turn = front(&line).unwrap();
            let Place::Behind(mut behind) = line.join(&call(), "g") else { panic!("two in front") };
            assert_eq!(behind.fingerprint, "f");
            let taken = TakenKey {
                fingerprint: "f".into(),
                event: ledger::UsageEventId::new(ledger::Timestamp::from_millis(0)),
                answer: KeptAnswer::Dropped,
            };
            if told {
                turn.tell(Arc::new(taken.clone()));
            }
            drop(turn);
            assert_eq!(behind.taken().await.as_deref(), told.then_some(&taken));
        }
        assert!(front(&line).is_some() && line.fronts.lock().is_empty());
    }

    #[test]
    fn no_more_wait_than_the_limit() {
        let line = Line::new();
        let turn = front(&line).unwrap();
        let mut waiting: Vec<Place> = (0..WAITING_MAX).map(|_| line.join(&call(), "f")).collect();
        assert!(waiting.iter().all(|place| matches!(place, Place::Behind(_))));
        assert!(matches!(line.join(&call(), "f"), Place::Full));
        waiting.pop();
        assert!(matches!(line.join(&call(), "f"), Place::Behind(_)));
        drop(turn);
    }
}
