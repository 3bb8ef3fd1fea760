//! The table of `contract.md`: who may do what. It reads like the table.

use ledger::{Role, SubscriptionStatus};
use serde::Serialize;

/// Something that a role may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Call AI endpoints, if the subscription lets the role.
    CallAi,
    /// See the organisation's usage.
    SeeUsage,
    /// See one's own usage.
    SeeOwnUsage,
    /// Change limits and thresholds.
    ManageUsage,
    /// See, make and revoke the organisation's API keys.
    ManageKeys,
}

/// Whether a role is allowed something.
pub const fn allows(role: Role, permission: Permission) -> bool {
    match permission {
        Permission::CallAi | Permission::SeeOwnUsage => true,
        Permission::SeeUsage => matches!(role, Role::Owner | Role::Admin | Role::Billing),
        Permission::ManageUsage | Permission::ManageKeys => matches!(role, Role::Owner | Role::Admin),
    }
}

/// The subscription does not let this role call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallDenied;

/// Whether a subscription lets a role call AI endpoints.
pub const fn may_call(role: Role, status: SubscriptionStatus) -> Result<(), CallDenied> {
    match status {
        SubscriptionStatus::Active | SubscriptionStatus::Trialing => Ok(()),
        SubscriptionStatus::PastDue if matches!(role, Role::Owner | Role::Admin | Role::Billing) => Ok(()),
        SubscriptionStatus::PastDue | SubscriptionStatus::Canceled => Err(CallDenied),
    }
}

/// What the front end is told of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "it is the front end's own shape")]
pub struct Permissions {
    /// Change limits and thresholds.
    pub can_modify_limits: bool,
    /// See the organisation's usage.
    pub can_view_usage: bool,
    /// Change the plan, in the app.
    pub can_manage_plan: bool,
    /// See invoices, in the app.
    pub can_view_billing: bool,
}

/// What the front end is told of a role.
pub const fn permissions_of(role: Role) -> Permissions {
    Permissions {
        can_modify_limits: allows(role, Permission::ManageUsage),
        can_view_usage: allows(role, Permission::SeeUsage),
        can_manage_plan: matches!(role, Role::Owner),
        can_view_billing: matches!(role, Role::Owner | Role::Billing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_contracts() {
        use SubscriptionStatus::{Active, Canceled, PastDue, Trialing};
        // role, see usage, manage, call while past due
        let table = [
            (Role::Owner, true, true, true),
            (Role::Admin, true, true, true),
            (Role::Member, false, false, false),
            (Role::Viewer, false, false, false),
            (Role::Billing, true, false, true),
        ];
        for (role, sees, manages, past_due) in table {
            assert!(allows(role, Permission::CallAi) && allows(role, Permission::SeeOwnUsage), "{role:?}");
            assert_eq!(allows(role, Permission::SeeUsage), sees, "{role:?}");
            assert_eq!(allows(role, Permission::ManageUsage), manages, "{role:?}");
            assert_eq!(allows(role, Permission::ManageKeys), manages, "{role:?}");
            assert!(may_call(role, Active).is_ok() && may_call(role, Trialing).is_ok(), "{role:?}");
            assert_eq!(may_call(role, PastDue).is_ok(), past_due, "{role:?}");
            assert!(may_call(role, Canceled).is_err(), "{role:?}");
        }
    }

    #[test]
    fn no_key_can_make_keys_or_change_limits() {
        for role in ledger::ApiKey::ROLES {
            assert!(!allows(role, Permission::ManageKeys) && !allows(role, Permission::ManageUsage), "{role:?}");
        }
    }
}
