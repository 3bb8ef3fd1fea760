//! Who may reach a route: decided before its handler runs, and before anything else of the request is looked at.
//!
//! A handler gets a [`Membership`] or an [`Operator`], which only this file makes. An organisation that does not exist must
//! never answer otherwise than one of strangers.

use std::collections::HashMap;
use std::sync::Arc;

use access::{Identity, Permission, Presented, Unauthenticated, digest_of};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use ledger::{Actor, ApiKey, Change, Member, OrganizationId, OrganizationRecord, Timestamp};
use refusal::Refusal;

use crate::answer::{Origin, Refused};
use crate::context::Context;
use crate::query::Query;

/// The role that the audit trail shows for an operator.
const OPERATOR: &str = "platform_admin";

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A member of the path's organisation whose role has the permission.
    Member(Permission),
    /// An operator of the platform.
    Operator,
}

/// A guard on its route.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) context: Arc<Context>,
    pub(crate) needs: Needs,
    /// The query parameters that the path knows.
    pub(crate) parameters: Arc<[String]>,
}

/// A caller who belongs to the organisation and has the permission that the route needs.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) record: Arc<OrganizationRecord>,
    pub(crate) member: Member,
    actor: Actor,
}

/// An operator of the platform.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    actor: Actor,
}

impl Membership {
    /// The organisation.
    pub(crate) fn id(&self) -> &OrganizationId {
        &self.record.organization.organization_id
    }

    /// Whether the caller may see what others used.
    pub(crate) fn sees_all(&self) -> bool {
        access::allows(self.member.role, Permission::SeeUsage)
    }

    /// A change by this caller.
    pub(crate) fn change(&self, at: Timestamp) -> Change {
        Change { actor: self.actor.clone(), at }
    }
}

impl Operator {
    /// A change by this operator.
    pub(crate) fn change(&self, at: Timestamp) -> Change {
        Change { actor: self.actor.clone(), at }
    }
}

/// The layer on every route.
pub(crate) async fn pass(
    State(Gate { context, needs, parameters }): State<Gate>,
    origin: Origin,
    path: Result<Path<HashMap<String, String>>, axum::extract::rejection::PathRejection>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let caller = identify(&context, request.headers()).await?;
    match needs {
        Needs::Operator => {
            let operator = caller.operator().ok_or(Refusal::Forbidden)?;
            let actor = actor(operator.user_id.as_str(), OPERATOR, &origin);
            request.extensions_mut().insert(Operator { actor });
        }
        Needs::Member(permission) => {
            let id = path.ok().and_then(|path| path.get("orgId")?.parse().ok());
            let membership = member(&context, &caller, id, permission, &origin).await?;
            request.extensions_mut().insert(membership);
        }
    }
    let query = Query::read(request.uri(), &parameters)?;
    request.extensions_mut().insert(query);
    Ok(next.run(request).await)
}

/// An operators' path on which there is nothing: only they are told so.
pub(crate) async fn nothing(State(context): State<Arc<Context>>, headers: HeaderMap) -> Refused {
    match identify(&context, &headers).await {
        Ok(caller) if caller.operator().is_some() => Refusal::NotFound("path").into(),
        Ok(_) => Refusal::Forbidden.into(),
        Err(refused) => refused,
    }
}

/// Somebody whose credential was verified.
enum Caller {
    User(Arc<Identity>),
    Key(Arc<ApiKey>),
}

impl Caller {
    /// One of the platform's operators: a key never is.
    fn operator(&self) -> Option<&Identity> {
        match self {
            Self::User(identity) => Some(&**identity).filter(|identity| identity.platform_admin),
            Self::Key(_) => None,
        }
    }

    /// The caller as a member of the organisation.
    fn member_of(&self, record: &OrganizationRecord) -> Option<Member> {
        match self {
            Self::User(identity) => record.members.get(&identity.user_id).cloned(),
            Self::Key(key) => (key.organization_id == record.organization.organization_id).then(|| key.member()),
        }
    }
}

async fn identify(context: &Context, headers: &HeaderMap) -> Result<Caller, Refused> {
    let all = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let (authorizations, cookies) = (all(header::AUTHORIZATION), all(header::COOKIE));
    // Two credentials could be read as either: nobody.
    if authorizations.len() > 1 {
        return Err(Refusal::Unauthenticated.into());
    }
    let presented = Presented { authorization: authorizations.first().copied(), cookies: &cookies };
    let caller = match presented.api_key() {
        Some(key) => {
            let known = context.api_keys.api_key(&digest_of(key)).await?;
            let valid = known.filter(|key| !key.is_over(context.clock.now()));
            valid.map(Caller::Key).ok_or(Unauthenticated::API_KEY)
        }
        None => context.authenticator.identify(presented).await.map(Caller::User),
    };
    caller.map_err(|why| {
        tracing::debug!(reason = why.reason(), "a credential was refused");
        Refusal::Unauthenticated.into()
    })
}

async fn member(
    context: &Context,
    caller: &Caller,
    id: Option<OrganizationId>,
    permission: Permission,
    origin: &Origin,
) -> Result<Membership, Refused> {
    let id = id.ok_or(Refusal::Forbidden)?;
    let record = context.directory.organization(&id).await?.ok_or(Refusal::Forbidden)?;
    let member = caller.member_of(&record).ok_or(Refusal::Forbidden)?;
    if !access::allows(member.role, permission) {
        return Err(Refusal::Forbidden.into());
    }
    let actor = actor(member.user_id.as_str(), member.role.as_str(), origin);
    Ok(Membership { record: Arc::new(record), member, actor })
}

fn actor(user: &str, role: &str, origin: &Origin) -> Actor {
    Actor {
        user_id: user.to_owned(),
        role: role.to_owned(),
        remote_address: origin.remote_address.map(|address| address.to_string()),
        request_id: Some(origin.request_id.to_string()),
    }
}

impl<S: Sync> FromRequestParts<S> for Membership {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refused> {
        // A route whose guard let no member in has none to show.
        parts.extensions.get::<Self>().cloned().ok_or(Refused(Refusal::Forbidden))
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refused> {
        parts.extensions.get::<Self>().cloned().ok_or(Refused(Refusal::Forbidden))
    }
}
