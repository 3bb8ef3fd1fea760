//! Who belongs to an organisation, and whether it pays. What a role may do is the `access` crate's business.

use serde::{Deserialize, Serialize};

use crate::{Limit, UserId};

/// A member's role in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Owns the organisation.
    Owner,
    /// Runs it.
    Admin,
    /// Works in it.
    Member,
    /// Looks on.
    Viewer,
    /// Pays for it.
    Billing,
}

impl Role {
    /// Every role, in the contract's order.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Member, Self::Viewer, Self::Billing];

    /// The name in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
            Self::Billing => "billing",
        }
    }

    /// From the name in JSON and SQL.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// The state of an organisation's subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionStatus {
    /// Paid up.
    Active,
    /// In its trial.
    Trialing,
    /// A payment is overdue.
    PastDue,
    /// Ended.
    Canceled,
}

impl SubscriptionStatus {
    /// Every state, in the contract's order.
    pub const ALL: [Self; 4] = [Self::Active, Self::Trialing, Self::PastDue, Self::Canceled];

    /// The name in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Trialing => "trialing",
            Self::PastDue => "past_due",
            Self::Canceled => "canceled",
        }
    }

    /// From the name in JSON and SQL.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A user's place in one organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// The user: the credential's `sub`.
    pub user_id: UserId,
    /// What the user may do.
    pub role: Role,
    /// For people to read.
    #[serde(default)]
    pub name: Option<String>,
    /// For people to read.
    #[serde(default)]
    pub email: Option<String>,
    /// Credits that the user may spend in a period, in place of the organisation's limit for each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_credits: Option<Limit>,
}
