//! Two gateways that share a database, and a third party that only the events know.

use ledger::{Credits, ManualClock, OrganizationId, PluginIdentity, Signals, Timestamp};
use store::{Occupancy, Options, Store};
use tempfile::TempDir;

use super::*;

struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Shared {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("usage.db").display());
        let store = store::open(Options { url, readers: 2, occupancy: Occupancy::Gateway }).await.unwrap();
        Self { store, clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000))), _folder: folder }
    }

    fn gateway(&self, number: i64, wait: Duration) -> (Arc<Once>, UnboundedReceiver<Ended>) {
        let limits = KeyLimits { keys: 100, answer_bytes: 1_000_000 };
        let options = OnceOptions { window_ms: 60_000, wait, answer_bytes_max: 1_000, limits };
        let instance = Some(InstanceId::new(Timestamp::from_millis(number)));
        let metrics = Metrics::new().unwrap();
        Once::new(self.store.clone(), self.store.clone(), self.clock.clone(), metrics, instance, options)
    }

    /// What the applier of a gateway brings at last.
    async fn event(&self, id: UsageEventId, outcome: Outcome) {
        let at = id.moment().unwrap();
        let event = UsageEvent {
            id,
            organization_id: acme(),
            user_id: "ann".parse().unwrap(),
            event_type: "a".parse().unwrap(),
            event_name: String::new(),
            category: String::new(),
            definition_version: 1,
            occurred_at: at,
            settled_at: at,
            outcome,
            credits: Credits::ZERO,
            held: Credits::ZERO,
            items: Vec::new(),
            plugin: Arc::new(PluginIdentity { name: "p".into(), version: "1".into(), sha256: "0".into() }),
            signals: Signals::default(),
            session_id: None,
            request_id: "req".parse().unwrap(),
            endpoint: "/a".into(),
            upstream_status: None,
            adjustment: None,
        };
        assert_eq!(self.store.apply(&[event]).await.unwrap(), 1);
    }
}

const PATIENT: Duration = Duration::from_secs(60);

fn acme() -> OrganizationId {
    "acme".parse().unwrap()
}

fn key() -> CallKey {
    CallKey { organization_id: acme(), endpoint: "/a".into(), key: "k".parse().unwrap() }
}

/// What became of a call that was not the first.
fn told(entered: Result<Claim, NotFirst>) -> Result<String, Refusal> {
    match entered {
        Ok(_) => panic!("it was the first"),
        Err(NotFirst::Refused(refusal)) => Err(refusal),
        Err(NotFirst::Repeats(taken)) => match &taken.answer {
            KeptAnswer::Whole(answer) => Ok(answer.to_string()),
            other => panic!("{other:?}"),
        },
    }
}

async fn first(once: &Arc<Once>) -> Claim {
    once.enter(key(), "same".into()).await.ok().expect("somebody else was first")
}

#[tokio::test]
async fn a_twin_at_another_gateway_waits_for_the_answer_and_gets_it() {
    let shared = Shared::new().await;
    let ((one, _), (other, _)) = (shared.gateway(1, PATIENT), shared.gateway(2, PATIENT));
    let mut claim = first(&one).await;
    assert_eq!(told(other.enter(key(), "another".into()).await), Err(Refusal::IdempotencyKeyReused));
    let twins = [Arc::clone(&one), Arc::clone(&other), Arc::clone(&other)];
    let twins = twins.map(|once| tokio::spawn(async move { told(once.enter(key(), "same".into()).await) }));
    claim.fate = Fate::Charged;
    claim.keep(Some("the answer".into())).await;
    drop(claim);
    for twin in twins {
        assert_eq!(twin.await.unwrap(), Ok("the answer".to_owned()));
    }
}

#[tokio::test]
async fn nobody_takes_a_key_whose_call_may_still_be_charged() {
    let shared = Shared::new().await;
    let ((one, _), (other, _)) = (shared.gateway(1, PATIENT), shared.gateway(2, Duration::ZERO));
    for (outcome, freed) in [(Outcome::Voided, true), (Outcome::Interrupted, true), (Outcome::Captured, false)] {
        // The gateway dies in the middle of the call, and another one brings its event in the end.
        let mut claim = first(&one).await;
        claim.fate = Fate::Journaled;
        let event = claim.event();
        drop(claim);
        for _ in 0..2 {
            assert_eq!(told(other.enter(key(), "same".into()).await), Err(Refusal::IdempotencyInProgress));
        }
        shared.event(event, outcome).await;
        let patient = shared.gateway(3, PATIENT).0;
        if freed {
            let mut claim = first(&patient).await;
            assert!(shared.store.free_key(&key(), claim.event()).await.unwrap(), "it is claimed anew");
            claim.fate = Fate::Told;
        } else {
            assert_eq!(
                told(patient.enter(key(), "same".into()).await),
                Err(Refusal::IdempotencyAnswerNotKept { event })
            );
        }
    }
}

#[tokio::test]
async fn a_call_that_is_not_charged_sets_its_key_free_and_one_that_keeps_nothing_says_so() {
    let shared = Shared::new().await;
    let (one, ended) = shared.gateway(1, PATIENT);
    let task = tokio::spawn(run(Arc::clone(&one), ended));
    let refused = first(&one).await;
    let earlier = refused.event();
    drop(refused);
    let mut charged = first(&one).await;
    assert_ne!(charged.event(), earlier);
    charged.fate = Fate::Charged;
    let event = charged.event();
    drop(charged);
    assert_eq!(told(one.enter(key(), "same".into()).await), Err(Refusal::IdempotencyAnswerNotKept { event }));
    task.abort();
}
