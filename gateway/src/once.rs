//! A call that carries an `Idempotency-Key` is made and charged once, however often it is sent. A call without one must
//! never touch the database here.
//!
//! The key is claimed in the database before the call is priced, in the name of the usage event that the call will have.
//! So whatever becomes of this process, that event says whether the call was charged: where it was, the key stands, with
//! the answer or without; where it was not, the key is free again. Until the event is known, nobody may guess.
//!
//! Twins at this gateway wait in line here; the one in front looks in the database for all of them.

mod answer;
mod ended;
mod key;
mod line;

use std::sync::Arc;
use std::time::Duration;

use ledger::{
    CallKey, Claimed, Clock, IdempotencyStore, InstanceId, KeptAnswer, KeyClaim, KeyLimits, Outcome, TakenKey,
    UsageEvent, UsageEventId, UsageStore,
};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use refusal::Refusal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout_at};

use self::ended::What;
use self::line::{Line, Place, Turn};
use crate::authorize::Permit;
use crate::call::Call;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::read::RequestBody;
use crate::routes::Route;
use crate::stop::Stop;

pub(crate) use self::answer::Repeat;
pub(crate) use self::ended::{Ended, run};

/// How often it is looked whether a call that is on its way elsewhere has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long keys stand, and how much is kept of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OnceOptions {
    /// How long a key stands after its call.
    pub(crate) window_ms: i64,
    /// How long a twin waits for the first one's answer.
    pub(crate) wait: Duration,
    /// The longest body that is kept.
    pub(crate) answer_bytes_max: usize,
    /// What an organisation may keep in all.
    pub(crate) limits: KeyLimits,
}

/// The keys of this gateway's calls.
pub(crate) struct Once {
    store: Arc<dyn IdempotencyStore>,
    usage: Arc<dyn UsageStore>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// `None` where this gateway has the database for itself.
    instance: Option<InstanceId>,
    options: OnceOptions,
    line: Arc<Line>,
    ended: UnboundedSender<Ended>,
}

/// A key that this call has claimed. Dropped, it is free again where the call was not charged.
pub(crate) struct Claim {
    once: Arc<Once>,
    call: CallKey,
    fingerprint: String,
    event: UsageEventId,
    fate: Fate,
    /// The call's place in the line: whoever waits behind it goes on when it is dropped.
    turn: Option<Turn>,
}

/// What is known of a claim's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was not charged and will not be.
    Free,
    /// It is in the journal: its event will say.
    Journaled,
    /// It was charged, and nothing is known yet of its answer.
    Charged,
    /// The database has been told.
    Told,
}

/// Why a call is not the first of its key.
enum NotFirst {
    Refused(Refusal),
    Repeats(Arc<TakenKey>),
}

impl Once {
    /// The keys, and what the task that [ends](run) them receives.
    pub(crate) fn new(
        store: Arc<dyn IdempotencyStore>,
        usage: Arc<dyn UsageStore>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        instance: Option<InstanceId>,
        options: OnceOptions,
    ) -> (Arc<Self>, UnboundedReceiver<Ended>) {
        let (ended, to_end) = unbounded_channel();
        (Arc::new(Self { store, usage, clock, metrics, instance, options, line: Line::new(), ended }), to_end)
    }

    async fn enter(self: &Arc<Self>, call: CallKey, fingerprint: String) -> Result<Claim, NotFirst> {
        let deadline = Instant::now() + self.options.wait;
        loop {
            match self.line.join(&call, &fingerprint) {
                Place::Front(turn) => return self.look(call, fingerprint, turn, deadline).await,
                Place::Behind(other) if other.fingerprint != fingerprint => {
                    return Err(NotFirst::Refused(Refusal::IdempotencyKeyReused));
                }
                Place::Behind(mut other) => match timeout_at(deadline, other.taken()).await {
                    Ok(Some(taken)) => return Err(judge(&taken, &fingerprint)),
                    // It left without an answer: the next one tries.
                    Ok(None) => {}
                    Err(_late) => return Err(NotFirst::Refused(Refusal::IdempotencyInProgress)),
                },
                Place::Full => return Err(NotFirst::Refused(Refusal::IdempotencyInProgress)),
            }
        }
    }

    /// Looks in the database, in front of the line, until the key is ours, answered, or time is up.
    async fn look(
        self: &Arc<Self>,
        call: CallKey,
        fingerprint: String,
        turn: Turn,
        deadline: Instant,
    ) -> Result<Claim, NotFirst> {
        let mut claim = self.claim(call, fingerprint, turn);
        loop {
            match self.store.claim_key(&claim.asked(), self.options.limits).await.map_err(unavailable)? {
                Claimed::First => return Ok(claim),
                Claimed::Full => {
                    claim.fate = Fate::Told;
                    return Err(NotFirst::Refused(Refusal::TooManyIdempotencyKeys));
                }
                Claimed::Taken(taken) => {
                    if let Some(not_first) = self.settled(&claim, taken).await? {
                        claim.fate = Fate::Told;
                        if let NotFirst::Repeats(taken) = &not_first {
                            claim.tell(taken);
                        }
                        return Err(not_first);
                    }
                }
            }
            if Instant::now() >= deadline {
                claim.fate = Fate::Told;
                return Err(NotFirst::Refused(Refusal::IdempotencyInProgress));
            }
            sleep(LOOK_EVERY).await;
            claim.event = UsageEventId::new(self.clock.now());
        }
    }

    /// What a taken key means for whoever comes later; `None` where its call is on its way, or has just been set free.
    async fn settled(&self, claim: &Claim, taken: TakenKey) -> Result<Option<NotFirst>, NotFirst> {
        if taken.fingerprint != claim.fingerprint || taken.answer != KeptAnswer::Awaited {
            return Ok(Some(judge(&Arc::new(taken), &claim.fingerprint)));
        }
        let of = &claim.call.organization_id;
        match self.usage.event(of, taken.event).await.map_err(unavailable)? {
            None => Ok(None),
            Some(event) if is_charged(&event) => {
                Ok(Some(NotFirst::Refused(Refusal::IdempotencyAnswerNotKept { event: taken.event })))
            }
            Some(_) => {
                self.store.free_key(&claim.call, taken.event).await.map_err(unavailable)?;
                Ok(None)
            }
        }
    }

    fn claim(self: &Arc<Self>, call: CallKey, fingerprint: String, turn: Turn) -> Claim {
        let event = UsageEventId::new(self.clock.now());
        Claim { once: Arc::clone(self), call, fingerprint, event, fate: Fate::Free, turn: Some(turn) }
    }
}

impl Claim {
    /// The event that the call will have.
    pub(crate) fn event(&self) -> UsageEventId {
        self.event
    }

    fn asked(&self) -> KeyClaim {
        let at = self.once.clock.now();
        KeyClaim {
            call: self.call.clone(),
            fingerprint: self.fingerprint.clone(),
            event: self.event,
            instance: self.once.instance,
            at,
            until: at.plus_millis(self.once.options.window_ms),
        }
    }

    fn tell(&self, taken: &Arc<TakenKey>) {
        if let Some(turn) = &self.turn {
            turn.tell(Arc::clone(taken));
        }
    }

    async fn keep(&mut self, answer: Option<String>) {
        let once = &self.once;
        let until = once.clock.now().plus_millis(once.options.window_ms);
        let kept = once.store.keep_answer(&self.call, self.event, answer.as_deref(), until, once.options.limits).await;
        match kept {
            Ok(Some(answer)) => {
                let fingerprint = self.fingerprint.clone();
                self.tell(&Arc::new(TakenKey { fingerprint, event: self.event, answer }));
                self.fate = Fate::Told;
            }
            Ok(None) => {
                tracing::warn!(event = %self.event, "an idempotency key ended before its call did");
                self.fate = Fate::Told;
            }
            // The event in the store says that the call was charged: a repeat is told so.
            Err(error) => tracing::warn!(%error, event = %self.event, "an answer is not kept for a repeated call"),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let what = match self.fate {
            Fate::Free => What::Free,
            Fate::Charged => What::Dropped,
            Fate::Journaled | Fate::Told => return,
        };
        let ended = Ended { call: self.call.clone(), event: self.event, what, turn: self.turn.take() };
        // Without its task the gateway is ending: the next life sets free what was not charged.
        let _ = self.once.ended.send(ended);
    }
}

/// Claims the key that the request carries, if it carries one: on return the call is the first of it.
pub(crate) async fn first(
    gateway: &Gateway,
    session: &Session,
    call: &mut Call,
    permit: &Permit,
    route: &Route,
    body: &RequestBody,
) -> Result<(), Stop> {
    let once = &gateway.once;
    let request = session.req_header();
    let key = match key::read(&request.headers) {
        Ok(None) => return Ok(()),
        Ok(Some(key)) => key,
        Err(refusal) => {
            once.metrics.repeated("malformed");
            return Err(refusal.into());
        }
    };
    let organization_id = permit.record().organization.organization_id.clone();
    let fingerprint = key::fingerprint(&request.method, request.raw_path(), &permit.member().user_id, &body.bytes);
    let name = CallKey { organization_id, endpoint: Arc::clone(&route.path), key };
    match once.enter(name, fingerprint).await {
        Ok(claim) => {
            once.metrics.repeated("first");
            call.once = Some(claim);
            Ok(())
        }
        Err(NotFirst::Refused(refusal)) => {
            once.metrics.repeated(refusal.code());
            Err(refusal.into())
        }
        Err(NotFirst::Repeats(taken)) => {
            once.metrics.repeated("replayed");
            let KeptAnswer::Whole(answer) = &taken.answer else { return Err(Refusal::StoreUnavailable.into()) };
            let repeat = Repeat::read(answer).map_err(|error| {
                tracing::error!(%error, event = %taken.event, "a kept answer cannot be read");
                Refusal::StoreUnavailable
            })?;
            Err(Stop::Repeated(Box::new(repeat)))
        }
    }
}

/// The call is in the journal: from now on its event decides.
pub(crate) fn journaled(call: &mut Call) {
    if let Some(claim) = &mut call.once {
        claim.fate = Fate::Journaled;
    }
}

/// The call was struck from the journal: the backend never heard of it.
pub(crate) fn forgotten(call: &mut Call) {
    if let Some(claim) = &mut call.once {
        claim.fate = Fate::Free;
    }
}

/// The call was settled, and its event is on disk.
pub(crate) fn settled(call: &mut Call, event: &UsageEvent) {
    if let Some(claim) = &mut call.once {
        claim.fate = if is_charged(event) { Fate::Charged } else { Fate::Free };
    }
}

/// Keeps a charged answer for those who ask again, before this client has it.
pub(crate) async fn keep(call: &mut Call, header: &ResponseHeader, body: &[u8]) {
    let Some(claim) = call.once.as_mut().filter(|claim| claim.fate == Fate::Charged) else { return };
    let answer = answer::write(header.status, &header.headers, body, claim.once.options.answer_bytes_max);
    claim.keep(answer).await;
}

/// Whether a key stands for this event: what was not charged may be tried again under it.
fn is_charged(event: &UsageEvent) -> bool {
    event.outcome == Outcome::Captured || event.credits > ledger::Credits::ZERO
}

fn judge(taken: &Arc<TakenKey>, fingerprint: &str) -> NotFirst {
    if taken.fingerprint != fingerprint {
        return NotFirst::Refused(Refusal::IdempotencyKeyReused);
    }
    match &taken.answer {
        KeptAnswer::Whole(_) => NotFirst::Repeats(Arc::clone(taken)),
        KeptAnswer::Dropped => NotFirst::Refused(Refusal::IdempotencyAnswerNotKept { event: taken.event }),
        KeptAnswer::Awaited => NotFirst::Refused(Refusal::IdempotencyInProgress),
    }
}

fn unavailable(error: ledger::StoreError) -> NotFirst {
    tracing::error!(%error, source = ?std::error::Error::source(&error), "an idempotency key cannot be looked up");
    NotFirst::Refused(Refusal::StoreUnavailable)
}

#[cfg(test)]
mod tests;
