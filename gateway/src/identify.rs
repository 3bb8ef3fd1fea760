//! Step 1: who is calling.

use std::sync::Arc;

use access::{Identity, Presented};
use http::{HeaderValue, header};
use pingora::proxy::Session;
use refusal::Refusal;

use crate::gateway::Gateway;
use crate::stop::Stop;

/// Somebody whose credential was verified. Only this step makes one.
pub(crate) struct Caller(Arc<Identity>);

impl Caller {
    pub(crate) fn identity(&self) -> &Identity {
        &self.0
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
    match gateway.authenticator.identify(presented).await {
        Ok(identity) => Ok(Caller(identity)),
        Err(why) => {
            tracing::debug!(reason = why.reason(), "a credential was refused");
            Err(Refusal::Unauthenticated.into())
        }
    }
}
