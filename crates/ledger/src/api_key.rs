//! Keys by which machines call for an organisation. Of the secret itself only a digest is kept: it must never be asked for
//! here, written down or shown.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Change, EventType, Hexadecimal, IdError, Limit, Member, OrganizationId, Role, StoreError, Timestamp, UserId,
};

/// The public part of a key, by which people and logs name it: `gwk_` and 16 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(Arc<str>);

impl ApiKeyId {
    /// What every key begins with.
    pub const PREFIX: &'static str = "gwk_";
    /// Random digits behind it.
    pub const DIGITS: usize = 16;
    /// Both, in bytes.
    const BYTES: usize = Self::PREFIX.len() + Self::DIGITS;

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApiKeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_one = |digits: &&str| digits.len() == Self::DIGITS && digits.bytes().all(is_digit);
        match text.strip_prefix(Self::PREFIX).filter(is_one) {
            Some(_) => Ok(Self(text.into())),
            None => Err(IdError::new("an API key's id (gwk_ and 16 hexadecimal digits)", Self::BYTES)),
        }
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for ApiKeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ApiKeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The SHA-256 of a key's whole text, by which it is recognised. A fast digest is right here: what is slow to compute guards
/// words that people choose, and 256 random bits are guessed at no speed, while a slow one would cost every call and give
/// strangers a way to keep the gateway busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hexadecimal(&self.0), f)
    }
}

impl FromStr for KeyDigest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError::new("a digest (64 hexadecimal digits)", 64);
        if text.len() != 64 || !text.bytes().all(is_digit) {
            return Err(error());
        }
        let mut digest = [0; 32];
        for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| error())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| error())?;
        }
        Ok(Self(digest))
    }
}

/// Whether a byte is a hexadecimal digit as we write them.
fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// A key and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its public part.
    pub id: ApiKeyId,
    /// For whom it calls: on the paths of others it is a stranger.
    pub organization_id: OrganizationId,
    /// For people to read.
    pub name: String,
    /// What it may do: one of [`ApiKey::ROLES`].
    pub role: Role,
    /// The event types that it may call; `None` is all of them.
    pub event_types: Option<Vec<EventType>>,
    /// Credits that it may spend in a period, in place of the organisation's limit for each member.
    pub monthly_credits: Option<Limit>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// From when on it is nobody's; `None` is never.
    pub expires_at: Option<Timestamp>,
}

impl ApiKey {
    /// The roles that a key may have: none that changes limits, or makes keys.
    pub const ROLES: [Role; 3] = [Role::Member, Role::Viewer, Role::Billing];
    /// Keys of one organisation, expired ones included, at most.
    pub const PER_ORGANIZATION_MAX: usize = 100;
    /// Event types that a key names, at most.
    pub const EVENT_TYPES_MAX: usize = 100;
    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    /// Whether it may make such calls.
    pub fn covers(&self, event_type: &EventType) -> bool {
        self.event_types.as_ref().is_none_or(|covered| covered.contains(event_type))
    }

    /// The member that it acts as.
    pub fn member(&self) -> Member {
        Member {
            user_id: UserId::of_key(&self.id),
            role: self.role,
            name: Some(self.name.clone()),
            email: None,
            monthly_credits: self.monthly_credits,
        }
    }
}

/// What became of a key that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMade {
    /// It is there.
    Made,
    /// There is no such organisation.
    UnknownOrganization,
    /// The organisation has as many as it may.
    TooMany,
}

/// Keys, as a store keeps them. Each change is audited, and numbered like any other change of its organisation.
#[async_trait]
pub trait ApiKeys: Send + Sync + 'static {
    /// Keeps a key under its digest.
    async fn make_api_key(&self, key: &ApiKey, digest: &KeyDigest, change: &Change) -> Result<KeyMade, StoreError>;
    /// Forgets a key; whether there was one.
    async fn revoke_api_key(&self, of: &OrganizationId, id: &ApiKeyId, change: &Change) -> Result<bool, StoreError>;
    /// An organisation's keys, the newest first, expired ones included.
    async fn api_keys(&self, of: &OrganizationId) -> Result<Vec<(KeyDigest, ApiKey)>, StoreError>;
    /// Every organisation's.
    async fn all_api_keys(&self) -> Result<Vec<(KeyDigest, ApiKey)>, StoreError>;
    /// The key with this digest.
    async fn api_key(&self, digest: &KeyDigest) -> Result<Option<Arc<ApiKey>>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_keys_id_is_one() {
        for (text, is_one) in [
            ("gwk_0123456789abcdef", true),
            ("gwk_0123456789abcde", false),
            ("gwk_0123456789abcdef0", false),
            ("gwk_0123456789ABCDEF", false),
            ("0123456789abcdef", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<ApiKeyId>().is_ok(), is_one, "{text}");
        }
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = KeyDigest([0xa5; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for none in [
            "",
            &"+5".repeat(32),
            &"A5".repeat(32),
            &"a5".repeat(31),
            &"g5".repeat(32),
            &format!("{}\u{e9}", "a".repeat(62)),
        ] {
            assert!(none.parse::<KeyDigest>().is_err(), "{none}");
        }
    }

    #[test]
    fn a_key_is_over_at_its_end_and_not_before() {
        let at = Timestamp::from_millis;
        let key = ApiKey {
            id: "gwk_0123456789abcdef".parse().unwrap(),
            organization_id: "acme".parse().unwrap(),
            name: "ci".to_owned(),
            role: Role::Member,
            event_types: Some(vec!["a".parse().unwrap()]),
            monthly_credits: None,
            created_at: at(0),
            created_by: "ann".to_owned(),
            expires_at: Some(at(1_000)),
        };
        assert!(!key.is_over(at(999)) && key.is_over(at(1_000)));
        assert!(!ApiKey { expires_at: None, ..key.clone() }.is_over(at(i64::MAX)));
        assert!(key.covers(&"a".parse().unwrap()) && !key.covers(&"b".parse().unwrap()));
        assert_eq!(key.member().user_id.as_str(), "apikey:gwk_0123456789abcdef");
    }
}
