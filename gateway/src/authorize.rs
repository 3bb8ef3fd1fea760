//! Step 2: whether the caller belongs to the organisation, and whether the organisation's subscription lets it call.

use std::sync::Arc;

use ledger::{EventType, Member, OrganizationId, OrganizationRecord};
use refusal::Refusal;

use crate::gateway::Gateway;
use crate::identify::Caller;
use crate::stop::Stop;

/// A caller who belongs to the organisation and may call its AI endpoints. Only this step makes one.
pub(crate) struct Membership {
    record: Arc<OrganizationRecord>,
    member: Member,
    by_key: bool,
}

impl Membership {
    /// The organisation, and the caller in it.
    pub(crate) fn parts(&self) -> (&OrganizationRecord, &Member) {
        (&self.record, &self.member)
    }

    /// Whether the caller is a machine with a key, which is no business of the backend's.
    pub(crate) fn by_key(&self) -> bool {
        self.by_key
    }
}

/// A member whose organisation's subscription allows the call. Only this step makes one.
pub(crate) struct Permit(Membership);

impl Permit {
    pub(crate) fn record(&self) -> &OrganizationRecord {
        &self.0.record
    }

    pub(crate) fn member(&self) -> &Member {
        &self.0.member
    }
}

/// Looks the caller up among the organisation's members. An organisation that does not exist reads the same as one of
/// strangers.
pub(crate) async fn member(
    gateway: &Gateway,
    caller: Caller,
    id: &OrganizationId,
    event_type: &EventType,
) -> Result<Membership, Stop> {
    let record = gateway.organizations.find(id).await.map_err(|error| {
        tracing::error!(%error, source = ?std::error::Error::source(&error), "an organisation cannot be read");
        Refusal::StoreUnavailable
    })?;
    let record = record.ok_or(Refusal::Forbidden)?;
    let member = caller.member_of(&record, event_type).ok_or(Refusal::Forbidden)?;
    if !access::allows(member.role, access::Permission::CallAi) {
        return Err(Refusal::Forbidden.into());
    }
    Ok(Membership { record, member, by_key: caller.is_key() })
}

/// Checks the subscription for this member's role.
pub(crate) fn paying(membership: Membership) -> Result<Permit, Stop> {
    let status = membership.record.organization.subscription_status;
    access::may_call(membership.member.role, status).map_err(|_| Refusal::BillingInactive(status))?;
    Ok(Permit(membership))
}
