//! Who may reach a route: decided before its handler runs, and before anything else of the request is looked at.
//!
//! A handler gets a [`Membership`] or an [`Operator`], which only this file makes. An organisation that does not exist must
//! never answer otherwise than one of strangers.

use std::collections::HashMap;
use std::sync::Arc;

use access::{Identity, Permission, Presented};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use ledger::{Actor, Change, Member, OrganizationId, OrganizationRecord, Timestamp};
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
    let identity = identify(&context, request.headers()).await?;
    match needs {
        Needs::Operator if identity.platform_admin => {
            let actor = actor(&identity, OPERATOR, &origin);
            request.extensions_mut().insert(Operator { actor });
        }
        Needs::Operator => return Err(Refusal::Forbidden.into()),
        Needs::Member(permission) => {
            let id = path.ok().and_then(|path| path.get("orgId")?.parse().ok());
            let membership = member(&context, &identity, id, permission, &origin).await?;
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
        Ok(identity) if identity.platform_admin => Refusal::NotFound("path").into(),
        Ok(_) => Refusal::Forbidden.into(),
        Err(refusal) => refusal.into(),
    }
}

async fn identify(context: &Context, headers: &HeaderMap) -> Result<Arc<Identity>, Refusal> {
    let all = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let (authorizations, cookies) = (all(header::AUTHORIZATION), all(header::COOKIE));
    // Two credentials could be read as either: nobody.
    if authorizations.len() > 1 {
        return Err(Refusal::Unauthenticated);
    }
    let presented = Presented { authorization: authorizations.first().copied(), cookies: &cookies };
    context.authenticator.identify(presented).await.map_err(|why| {
        tracing::debug!(reason = why.reason(), "a credential was refused");
        Refusal::Unauthenticated
    })
}

async fn member(
    context: &Context,
    identity: &Identity,
    id: Option<OrganizationId>,
    permission: Permission,
    origin: &Origin,
) -> Result<Membership, Refused> {
    let id = id.ok_or(Refusal::Forbidden)?;
    let record = context.directory.organization(&id).await?.ok_or(Refusal::Forbidden)?;
    let member = record.members.get(&identity.user_id).ok_or(Refusal::Forbidden)?.clone();
    if !access::allows(member.role, permission) {
        return Err(Refusal::Forbidden.into());
    }
    let actor = actor(identity, member.role.as_str(), origin);
    Ok(Membership { record: Arc::new(record), member, actor })
}

fn actor(identity: &Identity, role: &str, origin: &Origin) -> Actor {
    Actor {
        user_id: identity.user_id.to_string(),
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
