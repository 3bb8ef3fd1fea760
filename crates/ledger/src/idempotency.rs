//! Idempotency keys: a name that a client gives a call, so that however often it is sent there is one charge.
//!
//! A key is claimed before the backend hears of the call, in the name of the usage event that the call will have. Only
//! two things end a claim: whoever made it, or that event, once it is in the store. A claim whose event is not known
//! yet is left alone whatever its age, because the call may still be charged: nobody guesses that an instance is dead.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::ids::IdError;
use crate::{InstanceId, OrganizationId, StoreError, Timestamp, UsageEventId};

/// What a client calls one of its calls: 1 to 255 printable ASCII characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The longest allowed, in characters.
    pub const CHARACTERS_MAX: usize = 255;

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let fits = !text.is_empty() && text.len() <= Self::CHARACTERS_MAX && plain;
        if fits { Ok(Self(text.into())) } else { Err(IdError::new("an idempotency key", Self::CHARACTERS_MAX)) }
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Which call is meant: a key says so within an organisation and a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    /// Whose call.
    pub organization_id: OrganizationId,
    /// The route's configured path.
    pub endpoint: Arc<str>,
    /// The client's name for it.
    pub key: IdempotencyKey,
}

/// A call that wants its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyClaim {
    /// The key.
    pub call: CallKey,
    /// What tells this call from another one under the same key.
    pub fingerprint: String,
    /// The event that the call will have.
    pub event: UsageEventId,
    /// Who takes it; `None` where one gateway has the database for itself.
    pub instance: Option<InstanceId>,
    /// Now: what ended by then counts no more.
    pub at: Timestamp,
    /// Until when the key stands.
    pub until: Timestamp,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The call may go out: it is the first of its key.
    First,
    /// Another one was first.
    Taken(TakenKey),
    /// The organisation has as many keys as it may have.
    Full,
}

/// A key that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenKey {
    /// What the first call was.
    pub fingerprint: String,
    /// Its event.
    pub event: UsageEventId,
    /// Its answer.
    pub answer: KeptAnswer,
}

/// What is known of the answer to a key's call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptAnswer {
    /// The call is on its way, or its gateway ended: its event says which, once it is there.
    Awaited,
    /// It was charged, and its answer was not kept.
    Dropped,
    /// It was charged, and this was its answer.
    Whole(Arc<str>),
}

/// How much an organisation may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Keys.
    pub keys: u64,
    /// Bytes of their answers, all together.
    pub answer_bytes: u64,
}

/// Keys of calls, durable on return.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Takes a key where nobody has it, or whoever had it is past its end: one guarded statement, so that of many at once
    /// exactly one is first.
    async fn claim_key(&self, claim: &KeyClaim, limits: KeyLimits) -> Result<Claimed, StoreError>;

    /// Keeps the answer of the call that claimed the key, or notes that there is none to keep, until this time. An answer
    /// for which the organisation has no room left is not kept. Answers what is kept; `None` where the claim is gone.
    async fn keep_answer(
        &self,
        call: &CallKey,
        event: UsageEventId,
        answer: Option<&str>,
        until: Timestamp,
        limits: KeyLimits,
    ) -> Result<Option<KeptAnswer>, StoreError>;

    /// Sets a key free whose call was not charged; whether it was still claimed in the name of this event.
    async fn free_key(&self, call: &CallKey, event: UsageEventId) -> Result<bool, StoreError>;

    /// Sets the keys free that a gateway had claimed whose life is over, unless their call was charged. Its journal must
    /// have been applied. Answers how many.
    async fn free_keys_of(&self, instance: Option<InstanceId>) -> Result<u64, StoreError>;

    /// Deletes keys that ended by now, at most so many; answers how many.
    async fn delete_ended_keys(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_plain() {
        let longest = "k".repeat(IdempotencyKey::CHARACTERS_MAX);
        for (text, fits) in [
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", true),
            ("a key, \"quoted\" ~", true),
            (longest.as_str(), true),
            (&format!("{longest}k"), false),
            ("", false),
            ("tab\t", false),
            ("schlüssel", false),
        ] {
            assert_eq!(text.parse::<IdempotencyKey>().is_ok(), fits, "{text}");
        }
    }
}
