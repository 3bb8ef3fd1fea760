//! Step 1: who is calling: a user by a JWT, or a machine by a key.

use std::sync::Arc;

use access::{Identity, Presented, Unauthenticated, digest_of};
use http::{HeaderValue, header};
use ledger::{ApiKey, EventType, Member, OrganizationRecord};
use pingora::proxy::Session;
use refusal::Refusal;

use crate::gateway::Gateway;
use crate::stop::Stop;

/// Somebody whose credential was verified. Only this step makes one.
pub(crate) struct Caller(Who);

enum Who {
    User(Arc<Identity>),
    Key(Arc<ApiKey>),
}

impl Caller {
    /// Whether it is one of the platform's operators: a key never is.
    pub(crate) fn is_operator(&self) -> bool {
        matches!(&self.0, Who::User(identity) if identity.platform_admin)
    }

    /// Whether it is a machine with a key.
    pub(crate) fn is_key(&self) -> bool {
        matches!(self.0, Who::Key(_))
    }

    /// The caller as a member of the organisation; a key is one of its own alone, for the calls that it covers.
    pub(crate) fn member_of(&self, record: &OrganizationRecord, event_type: &EventType) -> Option<Member> {
        match &self.0 {
            Who::User(identity) => record.members.get(&identity.user_id).cloned(),
            Who::Key(key) => {
                let is_its_own = key.organization_id == record.organization.organization_id;
                (is_its_own && key.covers(event_type)).then(|| key.member())
            }
        }
    }
}

/// Verifies the request's credential.
pub(crate) async fn caller(gateway: &Gateway, session: &Session) -> Result<Caller, Stop> {
    let headers = &session.req_header().headers;
    let all = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let (authorizations, cookies) = (all(header::AUTHORIZATION), all(header::COOKIE));
    // Two credentials could be read as either: nobody.
    let presented = Presented { authorization: authorizations.first().copied(), cookies: &cookies };
    if authorizations.len() > 1 {
        return Err(Refusal::Unauthenticated.into());
    }
    let caller = match presented.api_key() {
        Some(key) => {
            let known = gateway.organizations.keys.find(&digest_of(key));
            let valid = known.filter(|key| !key.is_over(gateway.clock.now()));
            valid.map(Who::Key).ok_or(Unauthenticated::API_KEY)
        }
        None => gateway.authenticator.identify(presented).await.map(Who::User),
    };
    caller.map(Caller).map_err(|why| {
        tracing::debug!(reason = why.reason(), "a credential was refused");
        Refusal::Unauthenticated.into()
    })
}
