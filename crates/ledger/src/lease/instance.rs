//! Who leases. It must never be the same for two lives of a process.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::Timestamp;
use crate::ids::IdError;

/// One life of one gateway process: a UUIDv7. A process that starts takes a new one and, once the journal of the life
/// before it is applied, retires that one's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Uuid);

impl InstanceId {
    /// A new id whose time part is `now`.
    pub fn new(now: Timestamp) -> Self {
        let (seconds, nanos) = now.seconds_and_nanos();
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_hyphenated())
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InstanceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let uuid = Some(text).filter(|text| text.len() == 36).and_then(|text| Uuid::parse_str(text).ok());
        uuid.map(Self).ok_or_else(|| IdError::new("an instance id (a UUID)", 36))
    }
}
