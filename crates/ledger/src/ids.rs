//! Names of things, each its own type, so that no organisation id is ever passed where a user id is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::ApiKeyId;

/// Why a text is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must have 1 to {bytes_max} bytes and no control characters")]
pub struct IdError {
    what: &'static str,
    bytes_max: usize,
}

impl IdError {
    pub(crate) const fn new(what: &'static str, bytes_max: usize) -> Self {
        Self { what, bytes_max }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $bytes_max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest allowed, in bytes.
            pub const BYTES_MAX: usize = $bytes_max;

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let fits = !text.is_empty() && text.len() <= Self::BYTES_MAX && !text.chars().any(char::is_control);
                if fits { Ok(Self(text.into())) } else { Err(IdError { what: $what, bytes_max: Self::BYTES_MAX }) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

text_id!(
    /// An organisation, as the app names it in its paths.
    OrganizationId, "an organisation id", 128);
text_id!(
    /// A user: the `sub` of the credential.
    UserId, "a user id", 256);
text_id!(
    /// A kind of metered call, such as `structuring_diagnose`.
    EventType, "an event type", 128);
text_id!(
    /// A plan, such as `free`.
    PlanName, "a plan name", 64);
text_id!(
    /// The app's own session, which groups calls of one piece of work.
    SessionId, "a session id", 256);
text_id!(
    /// One request, as the logs and the answers name it.
    RequestId, "a request id", 128);

impl UserId {
    /// What the user of an API key's events begins with. No member has such an id.
    pub const KEY_PREFIX: &'static str = "apikey:";

    /// The user as which an API key calls.
    pub fn of_key(id: &ApiKeyId) -> Self {
        Self(format!("{}{id}", Self::KEY_PREFIX).into())
    }
}

/// One usage event: `evt_` and a UUIDv7 (RFC 9562), so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageEventId(Uuid);

impl UsageEventId {
    /// What every id starts with.
    pub const PREFIX: &'static str = "evt_";

    /// A new id whose time part is `now`.
    pub fn new(now: crate::Timestamp) -> Self {
        let (seconds, nanos) = now.seconds_and_nanos();
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)))
    }

    /// The least id of a moment: all ids of that moment and later ones are above it, and no earlier one is.
    pub fn least_at(moment: crate::Timestamp) -> Self {
        let millis = u128::try_from(moment.millis()).unwrap_or(0) & 0xffff_ffff_ffff;
        Self(Uuid::from_u128(millis << 80))
    }

    /// The moment inside the id, which is that of its event; `None` where there is none, as in an id that is not ours.
    pub fn moment(self) -> Option<crate::Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp().filter(|_| self.0.get_version_num() == 7)?.to_unix();
        let millis = seconds.checked_mul(1_000)?.checked_add(u64::from(nanos / 1_000_000))?;
        i64::try_from(millis).ok().map(crate::Timestamp::from_millis)
    }
}

impl fmt::Display for UsageEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0.as_hyphenated())
    }
}

impl fmt::Debug for UsageEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UsageEventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { what: "a usage event id (evt_ and a UUID)", bytes_max: 40 };
        let uuid = text.strip_prefix(Self::PREFIX).filter(|rest| rest.len() == 36).ok_or_else(|| error.clone())?;
        Uuid::parse_str(uuid).map(Self).map_err(|_| error)
    }
}

impl Serialize for UsageEventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UsageEventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn an_id_at_its_longest_fits_and_one_byte_more_does_not() {
        let longest = "x".repeat(OrganizationId::BYTES_MAX);
        assert!(longest.parse::<OrganizationId>().is_ok());
        assert!(format!("{longest}x").parse::<OrganizationId>().is_err());
        assert!("".parse::<OrganizationId>().is_err());
        assert!("a\nb".parse::<OrganizationId>().is_err());
    }

    #[test]
    fn event_ids_sort_by_time_and_read_back() {
        let earlier = UsageEventId::new(Timestamp::from_millis(1_000));
        let later = UsageEventId::new(Timestamp::from_millis(2_000));
        assert!(earlier < later);
        assert_eq!(earlier.to_string().parse::<UsageEventId>(), Ok(earlier));
        assert!("evt_nonsense".parse::<UsageEventId>().is_err());
        assert_eq!(later.moment(), Some(Timestamp::from_millis(2_000)));
        let least = UsageEventId::least_at(Timestamp::from_millis(2_000));
        assert!(earlier < least && least < later, "in the order of numbers, and of texts");
        assert!(earlier.to_string() < least.to_string() && least.to_string() < later.to_string());
        let strange = "evt_6ba7b810-9dad-11d1-80b4-00c04fd430c8".parse::<UsageEventId>().unwrap();
        assert_eq!(strange.moment(), None, "only a UUIDv7 has our moment in it");
    }
}
