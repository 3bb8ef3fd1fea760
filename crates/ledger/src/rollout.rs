//! Which plugin sets prices for whom: the steps of a plugin's life, and what each makes of the state. Pure: the store
//! keeps it, gateways follow it.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{EventType, OrganizationId, Timestamp};

/// Plugins before the active one to which a rollback can return, one after the other.
const EARLIER_MAX: usize = 20;

/// A plugin, by the SHA-256 of its file in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginHash(String);

impl PluginHash {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PluginHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        let fits = text.len() == 64 && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned())).ok_or("a plugin's SHA-256 has 64 digits of lower-case hexadecimal")
    }
}

impl Serialize for PluginHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PluginHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A share of organisations, in parts of 10 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct CanaryShare(u16);

impl CanaryShare {
    /// All of them.
    pub const WHOLE: u16 = 10_000;

    /// How many of 10 000.
    pub const fn parts(self) -> u16 {
        self.0
    }

    /// Whether an organisation is in it. It depends on nothing but the organisation's id, so every instance says the
    /// same, and whoever is in a share is in every larger one.
    pub fn has(self, organization: &OrganizationId) -> bool {
        place_of(organization) < self.0
    }
}

impl TryFrom<u16> for CanaryShare {
    type Error = &'static str;

    fn try_from(parts: u16) -> Result<Self, Self::Error> {
        let fits = (1..=Self::WHOLE).contains(&parts);
        fits.then_some(Self(parts)).ok_or("a share is 1 to 10000, in parts of 10 000 organizations")
    }
}

impl From<CanaryShare> for u16 {
    fn from(share: CanaryShare) -> Self {
        share.0
    }
}

/// Where an organisation stands among 10 000: FNV-1a of its id, its bits mixed once more (the finalizer of `SplitMix64`),
/// since ids that differ in their last byte alone would stand in a row.
fn place_of(organization: &OrganizationId) -> u16 {
    let hashed = organization
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (hashed ^ (hashed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u16::try_from((mixed ^ (mixed >> 31)) % u64::from(CanaryShare::WHOLE)).unwrap_or(0)
}

/// A plugin as the store lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPlugin {
    /// SHA-256 of its file.
    pub sha256: PluginHash,
    /// Its name for itself.
    pub name: String,
    /// Its version of itself.
    pub version: String,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// The event types that it names; none means all.
    pub event_types: Vec<EventType>,
    /// Golden cases that came with it.
    pub golden_cases: u64,
    /// Whether a signature came with it.
    pub signed: bool,
    /// When it first came.
    pub uploaded_at: Timestamp,
    /// Who sent it.
    pub uploaded_by: String,
}

impl StoredPlugin {
    /// Those of `event_types` that it does not price.
    pub fn lacks(&self, event_types: &[EventType]) -> Vec<EventType> {
        if self.event_types.is_empty() {
            return Vec::new();
        }
        event_types.iter().filter(|event_type| !self.event_types.contains(event_type)).cloned().collect()
    }
}

/// What is uploaded of a plugin.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginFile {
    /// The component.
    pub content: Vec<u8>,
    /// The text of its golden cases.
    pub cases: Option<String>,
    /// Its detached signature, as it came.
    pub signature: Option<String>,
}

impl fmt::Debug for PluginFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginFile").field("bytes", &self.content.len()).finish_non_exhaustive()
    }
}

/// Which plugin sets prices for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Counts up with every step; 0 where none was ever made.
    pub number: i64,
    /// The plugin that sets prices; `None`: that of the configured file.
    pub active: Option<PluginHash>,
    /// Those that did before it, newest first, to which a rollback returns.
    pub earlier: Vec<Option<PluginHash>>,
    /// The plugin that sets prices for a share of organisations.
    pub canary: Option<Canary>,
    /// The plugin that is asked beside, and charges nothing.
    pub shadow: Option<PluginHash>,
}

/// A plugin that sets prices for a share of organisations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Which.
    pub sha256: PluginHash,
    /// For how many.
    pub share: CanaryShare,
    /// The number of the step that began it.
    pub number: i64,
}

/// A step of a plugin's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// It is asked beside the active one and charges nothing.
    Shadow {
        /// Which.
        sha256: PluginHash,
    },
    /// Nobody is asked beside any more.
    StopShadow,
    /// It sets prices for a share of organisations.
    Canary {
        /// Which.
        sha256: PluginHash,
        /// For how many.
        share: CanaryShare,
    },
    /// It sets prices.
    Activate {
        /// Which.
        sha256: PluginHash,
    },
    /// Takes the newest thing that charges back: the canary where there is one, else the active plugin.
    Rollback,
    /// Takes back the canary that this step began, if it is still there: what a gateway does whose canary fails.
    TakeBack {
        /// The number of the canary's step.
        number: i64,
    },
}

impl Step {
    /// The name in the audit trail.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Shadow { .. } => "pricing.shadow",
            Self::StopShadow => "pricing.stop_shadow",
            Self::Canary { .. } => "pricing.canary",
            Self::Activate { .. } => "pricing.activate",
            Self::Rollback => "pricing.rollback",
            Self::TakeBack { .. } => "pricing.take_back",
        }
    }

    /// The plugin that it names.
    pub const fn plugin(&self) -> Option<&PluginHash> {
        match self {
            Self::Shadow { sha256 } | Self::Canary { sha256, .. } | Self::Activate { sha256 } => Some(sha256),
            Self::StopShadow | Self::Rollback | Self::TakeBack { .. } => None,
        }
    }

    /// Whether it lets the plugin set prices.
    pub const fn charges(&self) -> bool {
        matches!(self, Self::Canary { .. } | Self::Activate { .. })
    }
}

/// Why a step is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepRefused {
    /// No plugin with this hash was uploaded.
    #[error("no plugin {0} was uploaded")]
    UnknownPlugin(PluginHash),
    /// It sets prices already.
    #[error("plugin {0} is active already")]
    AlreadyActive(PluginHash),
    /// It is the canary already, for the same share.
    #[error("plugin {0} is the canary already, for the same share")]
    AlreadyCanary(PluginHash),
    /// It is the shadow already.
    #[error("plugin {0} is the shadow already")]
    AlreadyShadow(PluginHash),
    /// There is no shadow to stop.
    #[error("there is no shadow to stop")]
    NoShadow,
    /// Nothing was ever active before.
    #[error("there is nothing to roll back to: no canary, and no plugin that was active before")]
    NothingToRollBackTo,
    /// It does not price what is in use.
    #[error("the plugin does not price {}, which routes use", list(.0))]
    NotPriced(Vec<EventType>),
}

impl StepRefused {
    /// A fixed name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownPlugin(_) => "unknown_plugin",
            Self::AlreadyActive(_) => "already_active",
            Self::AlreadyCanary(_) => "already_canary",
            Self::AlreadyShadow(_) => "already_shadow",
            Self::NoShadow => "no_shadow",
            Self::NothingToRollBackTo => "nothing_to_roll_back_to",
            Self::NotPriced(_) => "event_types_not_priced",
        }
    }
}

fn list(event_types: &[EventType]) -> String {
    event_types.iter().map(EventType::as_str).collect::<Vec<_>>().join(", ")
}

impl Rollout {
    /// What a step makes of this. One that finds nothing to do (a canary that is gone already) changes nothing. Whether the
    /// plugin exists and prices what is in use is the store's to say.
    pub fn after(&self, step: &Step) -> Result<Self, StepRefused> {
        let number = self.number.saturating_add(1);
        let next = Self { number, ..self.clone() };
        match step {
            Step::Shadow { sha256 } | Step::Canary { sha256, .. } | Step::Activate { sha256 }
                if self.active.as_ref() == Some(sha256) =>
            {
                Err(StepRefused::AlreadyActive(sha256.clone()))
            }
            Step::Shadow { sha256 } if self.shadow.as_ref() == Some(sha256) => {
                Err(StepRefused::AlreadyShadow(sha256.clone()))
            }
            Step::Shadow { sha256 } => Ok(Self { shadow: Some(sha256.clone()), ..next }),
            Step::StopShadow if self.shadow.is_none() => Err(StepRefused::NoShadow),
            Step::StopShadow => Ok(Self { shadow: None, ..next }),
            Step::Canary { sha256, share } => match &self.canary {
                Some(canary) if canary.sha256 == *sha256 && canary.share == *share => {
                    Err(StepRefused::AlreadyCanary(sha256.clone()))
                }
                _ => Ok(Self { canary: Some(Canary { sha256: sha256.clone(), share: *share, number }), ..next }),
            },
            Step::Activate { sha256 } => {
                let mut earlier = next.earlier;
                earlier.insert(0, next.active);
                earlier.truncate(EARLIER_MAX);
                let shadow = next.shadow.filter(|shadow| shadow != sha256);
                // It was tried for this: the canary is promoted, or another plugin overtakes it.
                Ok(Self { number, active: Some(sha256.clone()), earlier, canary: None, shadow })
            }
            Step::Rollback if self.canary.is_some() => Ok(Self { canary: None, ..next }),
            Step::Rollback if self.earlier.is_empty() => Err(StepRefused::NothingToRollBackTo),
            Step::Rollback => {
                let mut earlier = next.earlier;
                let active = earlier.remove(0);
                let shadow = next.shadow.filter(|shadow| active.as_ref() != Some(shadow));
                Ok(Self { number, active, earlier, canary: None, shadow })
            }
            Step::TakeBack { number } => match &self.canary {
                Some(canary) if canary.number == *number => Ok(Self { canary: None, ..next }),
                _ => Ok(self.clone()),
            },
        }
    }

    /// The plugins that gateways must have loaded: those that are asked, and the one to which a rollback returns.
    pub fn wanted(&self) -> impl Iterator<Item = &PluginHash> {
        let canary = self.canary.iter().map(|canary| &canary.sha256);
        let before = self.earlier.first().into_iter().flatten();
        self.active.iter().chain(canary).chain(&self.shadow).chain(before)
    }
}

#[cfg(test)]
mod tests;
