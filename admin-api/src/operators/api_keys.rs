//! Keys of any organisation, as the operators keep them. What is done is `api_keys`' own; only who may is different here.

use std::sync::Arc;

use axum::extract::{Path, State};
use ledger::OrganizationId;
use refusal::Refusal;

use super::named;
use crate::answer::{Answer, Refused};
use crate::api_keys::{self, KeyGiven, KeyMadeAnswer, KeysAnswer, RevokedAnswer};
use crate::context::Context;
use crate::guard::Operator;
use crate::json_body::JsonBody;

/// An organization's API keys
#[utoipa::path(get, path = "/api/admin/organizations/{orgId}/api-keys", operation_id = "listApiKeysOf",
    params(("orgId" = String, Path, description = "The organization")),
    responses((status = 200, description = "The keys, without their secrets", body = KeysAnswer),
        (status = 404, description = "No such organization")))]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    Path(id): Path<String>,
) -> Answer<KeysAnswer> {
    api_keys::all(&context, &known(&context, &id).await?).await
}

/// Make an API key for an organization's machine
///
/// The answer has its secret, which is shown this once and kept nowhere.
#[utoipa::path(post, path = "/api/admin/organizations/{orgId}/api-keys", operation_id = "makeApiKeyOf",
    params(("orgId" = String, Path, description = "The organization")),
    request_body = KeyGiven,
    responses((status = 200, description = "The key and its secret", body = KeyMadeAnswer),
        (status = 404, description = "No such organization"),
        (status = 409, description = "As many keys as an organization may have")))]
pub(crate) async fn make(
    State(context): State<Arc<Context>>,
    operator: Operator,
    Path(id): Path<String>,
    JsonBody(given): JsonBody<KeyGiven>,
) -> Answer<KeyMadeAnswer> {
    api_keys::new(&context, &named(&id)?, given, &operator.change(context.clock.now())).await
}

/// Revoke an organization's API key
///
/// On this instance it is nobody's when the answer comes, on all others within a second.
#[utoipa::path(delete, path = "/api/admin/organizations/{orgId}/api-keys/{keyId}", operation_id = "revokeApiKeyOf",
    params(("orgId" = String, Path, description = "The organization"), ("keyId" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key is gone", body = RevokedAnswer),
        (status = 404, description = "No such organization")))]
pub(crate) async fn revoke(
    State(context): State<Arc<Context>>,
    operator: Operator,
    Path((id, key)): Path<(String, String)>,
) -> Answer<RevokedAnswer> {
    let id = known(&context, &id).await?;
    api_keys::end(&context, &id, &key, &operator.change(context.clock.now())).await
}

/// An organisation that is there.
async fn known(context: &Context, id: &str) -> Result<OrganizationId, Refused> {
    let id: OrganizationId = named(id)?;
    context.directory.organization(&id).await?.ok_or(Refusal::NotFound("organization"))?;
    Ok(id)
}
