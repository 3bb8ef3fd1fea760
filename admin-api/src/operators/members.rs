//! Members of an organisation, as the operators keep them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use ledger::{Changed, Limit, Member, OrganizationId, Role, UserId};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::named;
use crate::answer::Answer;
use crate::bounded::{Given, Name};
use crate::context::Context;
use crate::guard::Operator;
use crate::json_body::JsonBody;

/// A member.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberAnswer {
    success: bool,
    member: MemberShown,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberShown {
    #[schema(value_type = String)]
    pub(super) user_id: UserId,
    #[schema(value_type = String)]
    role: Role,
    name: Option<String>,
    email: Option<String>,
    /// Credits that the user may spend in a month; -1 is unlimited, null as the organization says for each member.
    #[schema(value_type = Option<f64>)]
    monthly_credits: Option<Limit>,
}

/// A member to make or change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MemberGiven {
    /// `owner`, `admin`, `member`, `viewer` or `billing`.
    #[schema(value_type = String)]
    role: Role,
    /// Absent: as it is. Null: none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Given<Name>,
    /// Absent: as it is. Null: none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    email: Given<Name>,
    /// Credits that the user may spend in a month: -1 is unlimited, 0 or more is a limit. Absent: as it is. Null: as the
    /// organization says for each member.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    monthly_credits: Given<Limit>,
}

/// Whether there was a member to remove.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemovedAnswer {
    success: bool,
    removed: bool,
}

/// Make or change a member
#[utoipa::path(put, path = "/api/admin/organizations/{orgId}/members/{userId}", operation_id = "putMember",
    params(("orgId" = String, Path, description = "The organization"), ("userId" = String, Path, description = "The user")),
    request_body = MemberGiven,
    responses((status = 200, description = "The member as it is now", body = MemberAnswer),
        (status = 404, description = "No such organization")))]
pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    operator: Operator,
    Path((id, user)): Path<(String, String)>,
    JsonBody(given): JsonBody<MemberGiven>,
) -> Answer<MemberAnswer> {
    let (id, user_id): (OrganizationId, UserId) = (named(&id)?, named(&user)?);
    if user.starts_with(UserId::KEY_PREFIX) {
        let why = format!(
            "The path names it wrongly: {} is how API keys call; allowed: another user id.",
            UserId::KEY_PREFIX
        );
        return Err(Refusal::InvalidRequest(why).into());
    }
    let record = context.directory.organization(&id).await?.ok_or(Refusal::NotFound("organization"))?;
    let (name, email, limit) = match record.members.get(&user_id) {
        Some(present) => (present.name.clone(), present.email.clone(), present.monthly_credits),
        None => (None, None, None),
    };
    let over = |given: Given<Name>, present: Option<String>| given.over(present.map(Name)).map(|name| name.0);
    let member = Member {
        role: given.role,
        name: over(given.name, name),
        email: over(given.email, email),
        monthly_credits: given.monthly_credits.over(limit),
        user_id,
    };
    let member = context.directory.put_member(&id, &member, &operator.change(context.clock.now())).await?;
    let member = member.ok_or(Refusal::NotFound("organization"))?;
    context.live.changed(&Changed::Organization(id)).await;
    Ok(Json(MemberAnswer { success: true, member: member.into() }))
}

/// Remove a member
#[utoipa::path(delete, path = "/api/admin/organizations/{orgId}/members/{userId}", operation_id = "deleteMember",
    params(("orgId" = String, Path, description = "The organization"), ("userId" = String, Path, description = "The user")),
    responses((status = 200, description = "The member is gone", body = RemovedAnswer),
        (status = 404, description = "No such organization")))]
pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    operator: Operator,
    Path((id, user)): Path<(String, String)>,
) -> Answer<RemovedAnswer> {
    let (id, user): (OrganizationId, UserId) = (named(&id)?, named(&user)?);
    context.directory.organization(&id).await?.ok_or(Refusal::NotFound("organization"))?;
    let removed = context.directory.delete_member(&id, &user, &operator.change(context.clock.now())).await?;
    context.live.changed(&Changed::Organization(id)).await;
    Ok(Json(RemovedAnswer { success: true, removed }))
}

impl From<Member> for MemberShown {
    fn from(member: Member) -> Self {
        let Member { user_id, role, name, email, monthly_credits } = member;
        Self { user_id, role, name, email, monthly_credits }
    }
}
