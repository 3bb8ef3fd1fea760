//! Keys by which machines call for an organisation: its owners and admins list, make and revoke them. A key's secret must
//! never be in any answer but the one that makes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::NewKey;
use axum::Json;
use axum::extract::{Path, State};
use ledger::{ApiKey, ApiKeyId, Change, Changed, EventType, KeyMade, Limit, OrganizationId, Role, Timestamp};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Answer, Refused};
use crate::bounded::{Given, Name};
use crate::context::Context;
use crate::guard::Membership;
use crate::json_body::JsonBody;
use crate::operators::named;

/// How long a key lasts that is made without an end.
const DAYS: i64 = 365;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyGiven {
    /// What it is for, 1 to 200 bytes.
    #[schema(value_type = String)]
    name: Name,
    /// `member`, `viewer` or `billing`; `member` unless given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    role: Given<Role>,
    /// The event types that it may call, 1 to 100; all of them unless given.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    event_types: Given<BTreeSet<EventType>>,
    /// Credits that it may spend in a month: -1 is unlimited, 0 or more is a limit; as the organization says for each member
    /// unless given.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    monthly_credits: Given<Limit>,
    /// From when on it is nobody's: after now. A year from now unless given; null is never.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Given<Timestamp>,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyMadeAnswer {
    success: bool,
    api_key: KeyShown,
    /// The key itself, as `Authorization: Bearer` carries it. It is shown this once.
    secret: String,
}

/// An organization's keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeysAnswer {
    success: bool,
    /// The newest first, expired ones included.
    api_keys: Vec<KeyShown>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeyShown {
    /// Its public part, by which it is revoked; the user of its events is `apikey:` and this.
    #[schema(value_type = String)]
    id: ApiKeyId,
    name: String,
    role: &'static str,
    /// null is all of them.
    #[schema(value_type = Option<Vec<String>>)]
    event_types: Option<Vec<EventType>>,
    /// -1 is unlimited, null as the organization says for each member.
    #[schema(value_type = Option<f64>)]
    monthly_credits: Option<Limit>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    created_by: String,
    /// null is never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    expired: bool,
}

/// Whether there was a key to revoke.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedAnswer {
    success: bool,
    revoked: bool,
}

impl KeyShown {
    fn new(key: ApiKey, now: Timestamp) -> Self {
        let expired = key.is_over(now);
        let ApiKey { id, organization_id: _, name, role, event_types, monthly_credits, .. } = key;
        let ApiKey { created_at, created_by, expires_at, .. } = key;
        let role = role.as_str();
        Self { id, name, role, event_types, monthly_credits, created_at, created_by, expires_at, expired }
    }
}

/// The organization's API keys
#[utoipa::path(get, path = "/api/organizations/{orgId}/usage/keys", operation_id = "listApiKeys",
    params(("orgId" = String, Path, description = "The organization")),
    responses((status = 200, description = "The keys, without their secrets", body = KeysAnswer)))]
pub(crate) async fn list(State(context): State<Arc<Context>>, membership: Membership) -> Answer<KeysAnswer> {
    all(&context, membership.id()).await
}

/// Make an API key for a machine
///
/// The answer has its secret, which is shown this once and kept nowhere.
#[utoipa::path(post, path = "/api/organizations/{orgId}/usage/keys", operation_id = "makeApiKey",
    params(("orgId" = String, Path, description = "The organization")),
    request_body = KeyGiven,
    responses((status = 200, description = "The key and its secret", body = KeyMadeAnswer),
        (status = 409, description = "As many keys as an organization may have")))]
pub(crate) async fn make(
    State(context): State<Arc<Context>>,
    membership: Membership,
    JsonBody(given): JsonBody<KeyGiven>,
) -> Answer<KeyMadeAnswer> {
    new(&context, membership.id(), given, &membership.change(context.clock.now())).await
}

/// Revoke an API key
///
/// On this instance it is nobody's when the answer comes, on all others within a second.
#[utoipa::path(delete, path = "/api/organizations/{orgId}/usage/keys/{keyId}", operation_id = "revokeApiKey",
    params(("orgId" = String, Path, description = "The organization"), ("keyId" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key is gone", body = RevokedAnswer)))]
pub(crate) async fn revoke(
    State(context): State<Arc<Context>>,
    membership: Membership,
    Path((_organization, key)): Path<(String, String)>,
) -> Answer<RevokedAnswer> {
    end(&context, membership.id(), &key, &membership.change(context.clock.now())).await
}

/// Lists an organisation's keys.
pub(crate) async fn all(context: &Context, of: &OrganizationId) -> Answer<KeysAnswer> {
    let now = context.clock.now();
    let keys = context.api_keys.api_keys(of).await?;
    let api_keys = keys.into_iter().map(|(_, key)| KeyShown::new(key, now)).collect();
    Ok(Json(KeysAnswer { success: true, api_keys }))
}

/// Makes a key for an organisation.
pub(crate) async fn new(
    context: &Context,
    of: &OrganizationId,
    given: KeyGiven,
    change: &Change,
) -> Answer<KeyMadeAnswer> {
    let made = NewKey::random().map_err(|error| {
        tracing::error!(%error, "the system has no randomness: no key is made");
        Refusal::Internal
    })?;
    let key = ApiKey {
        id: made.id,
        organization_id: of.clone(),
        name: given.name.0,
        role: role(given.role)?,
        event_types: event_types(context, given.event_types).await?,
        monthly_credits: given.monthly_credits.over(None),
        created_at: change.at,
        created_by: change.actor.user_id.clone(),
        expires_at: end_of(given.expires_at, change.at)?,
    };
    match context.api_keys.make_api_key(&key, &made.digest, change).await? {
        KeyMade::Made => {}
        KeyMade::UnknownOrganization => return Err(Refusal::NotFound("organization").into()),
        KeyMade::TooMany => {
            let most = ApiKey::PER_ORGANIZATION_MAX;
            let why = format!("The organization has {most} API keys; allowed: no more, so revoke one first.");
            return Err(Refusal::Conflict(why).into());
        }
    }
    context.live.changed(&Changed::Organization(of.clone())).await;
    let secret = made.secret.reveal().to_owned();
    Ok(Json(KeyMadeAnswer { success: true, api_key: KeyShown::new(key, change.at), secret }))
}

/// Revokes a key of an organisation.
pub(crate) async fn end(context: &Context, of: &OrganizationId, key: &str, change: &Change) -> Answer<RevokedAnswer> {
    let revoked = context.api_keys.revoke_api_key(of, &named(key)?, change).await?;
    context.live.changed(&Changed::Organization(of.clone())).await;
    Ok(Json(RevokedAnswer { success: true, revoked }))
}

fn role(given: Given<Role>) -> Result<Role, Refusal> {
    let role = given.over(None).unwrap_or(Role::Member);
    if ApiKey::ROLES.contains(&role) {
        return Ok(role);
    }
    let allowed = ApiKey::ROLES.map(Role::as_str).join(", ");
    Err(Refusal::InvalidRequest(format!("role: \"{}\"; allowed: {allowed}.", role.as_str())))
}

/// The event types of a key, each of which must be there: a misspelt one would be a key that opens nothing.
async fn event_types(context: &Context, given: Given<BTreeSet<EventType>>) -> Result<Option<Vec<EventType>>, Refused> {
    let Some(given) = given.over(None) else { return Ok(None) };
    let most = ApiKey::EVENT_TYPES_MAX;
    if given.is_empty() || given.len() > most {
        let why = format!("eventTypes: {} of them; allowed: 1 to {most}, or none given for all.", given.len());
        return Err(Refusal::InvalidRequest(why).into());
    }
    let known = context.directory.event_definitions().await?;
    match given.iter().find(|one| !known.iter().any(|known| known.event_type == **one)) {
        Some(unknown) => {
            let mut names: Vec<&str> = known.iter().map(|known| known.event_type.as_str()).collect();
            names.sort_unstable();
            let why = format!("eventTypes: \"{unknown}\" is unknown; allowed: {}.", names.join(", "));
            Err(Refusal::InvalidRequest(why).into())
        }
        None => Ok(Some(given.into_iter().collect())),
    }
}

fn end_of(given: Given<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    match given {
        Given::Absent => Ok(Some(now.plus_millis(DAYS * DAY_MS))),
        Given::Null => Ok(None),
        Given::Value(end) if end > now => Ok(Some(end)),
        Given::Value(_) => Err(Refusal::InvalidRequest(format!("expiresAt: it is over; allowed: after {now}."))),
    }
}
