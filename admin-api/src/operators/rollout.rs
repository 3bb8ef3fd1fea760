//! The life of a pricing plugin: uploaded, tried as a shadow, as a canary, active, taken back. A step is in force in this
//! gateway when its answer arrives, and in every other within a second.

use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger::{CanaryShare, Changed, PluginFile, PluginHash, Rollout, Step, StepRefused, StoredPlugin};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::audit::{AuditAnswer, CURSOR_ALLOWED, LIMIT_DEFAULT, LIMIT_MAX, page};
use crate::bounded::Name;
use crate::context::Context;
use crate::guard::Operator;
use crate::json_body::{JsonBody, parse};
use crate::query::Query;

/// The path that takes plugins.
pub const UPLOAD_PATH: &str = "/api/admin/pricing/plugins";
/// The longest body taken there, in bytes: a plugin of 32 MiB in base64, and its golden cases.
pub const UPLOAD_BYTES_MAX: usize = 48 << 20;
/// The longest signature as text: 64 bytes in base64 have 88.
const SIGNATURE_BYTES_MAX: usize = 128;

/// A plugin to keep. It is tried at once: signature, imports, exports, a call, its golden cases.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginGiven {
    /// The component in base64; 32 MiB at most.
    plugin: String,
    /// The text of its golden cases, 1 MiB at most.
    cases: Option<String>,
    /// The detached ed25519 signature of the component, 64 bytes in base64.
    signature: Option<String>,
    /// Why, for the audit trail.
    #[schema(value_type = String)]
    reason: Name,
}

/// A plugin that is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PluginAnswer {
    success: bool,
    #[schema(value_type = StoredPluginShown)]
    plugin: StoredPlugin,
}

/// Every plugin that is kept, and which of them sets prices for whom.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PluginsAnswer {
    success: bool,
    /// Newest first.
    #[schema(value_type = Vec<StoredPluginShown>)]
    plugins: Vec<StoredPlugin>,
    #[schema(value_type = RolloutShown)]
    rollout: Rollout,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes ledger::StoredPlugin")]
struct StoredPluginShown {
    sha256: String,
    name: String,
    version: String,
    bytes: u64,
    /// None means all that have a definition.
    event_types: Vec<String>,
    golden_cases: u64,
    signed: bool,
    uploaded_at: String,
    uploaded_by: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes ledger::Rollout")]
struct RolloutShown {
    /// Counts up with every step.
    number: i64,
    /// Null: the plugin of the configured file.
    active: Option<String>,
    /// Those to which a rollback returns, newest first; null is the configured file's.
    earlier: Vec<Option<String>>,
    canary: Option<CanaryShown>,
    shadow: Option<String>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes ledger::Canary")]
struct CanaryShown {
    sha256: String,
    /// In parts of 10 000 organizations.
    share: u16,
    number: i64,
}

/// A step to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepGiven {
    step: StepName,
    /// Of `shadow`, `canary` and `activate`: which plugin.
    #[schema(value_type = Option<String>)]
    sha256: Option<PluginHash>,
    /// Of `canary`: for how many of 10 000 organizations.
    #[schema(value_type = Option<u16>)]
    share: Option<CanaryShare>,
    /// Why, for the audit trail.
    #[schema(value_type = String)]
    reason: Name,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StepName {
    Shadow,
    StopShadow,
    Canary,
    Activate,
    Rollback,
}

/// Which plugin sets prices for whom, after a step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepAnswer {
    success: bool,
    #[schema(value_type = RolloutShown)]
    rollout: Rollout,
}

/// Keep a plugin
///
/// It is tried at once and sets no prices yet. The same one again changes nothing but its cases and its signature.
#[utoipa::path(post, path = "/api/admin/pricing/plugins", operation_id = "uploadPlugin",
    request_body = PluginGiven,
    responses((status = 200, description = "The plugin", body = PluginAnswer),
        (status = 409, description = "As many are kept as there may be", body = crate::openapi::RefusalBody),
        (status = 413, description = "The body is too large", body = crate::openapi::RefusalBody),
        (status = 422, description = "It failed its checks: `cause` says which", body = crate::openapi::RefusalBody)))]
pub(crate) async fn upload(
    State(context): State<Arc<Context>>,
    operator: Operator,
    request: Request,
) -> Answer<PluginAnswer> {
    let too_large = |_| Refusal::BodyTooLarge(u64::try_from(UPLOAD_BYTES_MAX).unwrap_or(u64::MAX));
    let bytes = to_bytes(request.into_body(), UPLOAD_BYTES_MAX).await.map_err(too_large)?;
    let PluginGiven { plugin, cases, signature, reason } = parse(&bytes)?;
    drop(bytes);
    let content = STANDARD.decode(plugin).map_err(|why| wrong(&format!("plugin: {why}; allowed: base64.")))?;
    if signature.as_ref().is_some_and(|signature| signature.len() > SIGNATURE_BYTES_MAX) {
        return Err(wrong("signature: too long; allowed: 64 bytes in base64.").into());
    }
    let file = PluginFile { content, cases, signature };
    let checked = context.pricing.check(file.clone()).await;
    let checked = checked.map_err(|error| Refusal::PluginRejected { cause: error.cause(), why: error.to_string() })?;
    let change = operator.change(context.clock.now());
    let plugin = StoredPlugin {
        sha256: checked.hash,
        name: checked.identity.name.clone(),
        version: checked.identity.version.clone(),
        bytes: checked.bytes,
        event_types: checked.event_types,
        golden_cases: checked.golden_cases,
        signed: file.signature.is_some(),
        uploaded_at: change.at,
        uploaded_by: change.actor.user_id.clone(),
    };
    let kept = context.rollouts.put_plugin(&plugin, &file, &reason.0, &change).await?;
    let too_many = || Refusal::StepRefused {
        code: "too_many_plugins",
        why: "As many plugins are kept as there may be; none is dropped, since usage events name them.".to_owned(),
    };
    Ok(Json(PluginAnswer { success: true, plugin: kept.ok_or_else(too_many)? }))
}

/// The plugins that are kept, and which of them sets prices for whom
#[utoipa::path(get, path = "/api/admin/pricing/plugins", operation_id = "listPlugins",
    responses((status = 200, description = "The plugins", body = PluginsAnswer)))]
pub(crate) async fn list(State(context): State<Arc<Context>>, _operator: Operator) -> Answer<PluginsAnswer> {
    let (plugins, rollout) = (context.rollouts.plugins().await?, context.rollouts.rollout().await?);
    Ok(Json(PluginsAnswer { success: true, plugins, rollout }))
}

/// Make a step: shadow, canary, activate, roll back
///
/// `rollback` takes the newest thing that charges back: the canary where there is one, else the active plugin.
#[utoipa::path(post, path = "/api/admin/pricing/rollout", operation_id = "stepPlugin",
    request_body = StepGiven,
    responses((status = 200, description = "Which plugin sets prices for whom", body = StepAnswer),
        (status = 404, description = "No such plugin", body = crate::openapi::RefusalBody),
        (status = 409, description = "The step leads nowhere: `code` says why", body = crate::openapi::RefusalBody)))]
pub(crate) async fn step(
    State(context): State<Arc<Context>>,
    operator: Operator,
    JsonBody(given): JsonBody<StepGiven>,
) -> Answer<StepAnswer> {
    let reason = given.reason.0.clone();
    let step = read(given)?;
    let change = operator.change(context.clock.now());
    let made = context.rollouts.step(&step, &context.pricing.in_use(), &reason, &change).await?;
    let rollout = made.map_err(|refused| match refused {
        StepRefused::UnknownPlugin(_) => Refusal::NotFound("plugin"),
        other => Refusal::StepRefused { code: other.code(), why: sentence(&other) },
    })?;
    context.live.changed(&Changed::Pricing).await;
    Ok(Json(StepAnswer { success: true, rollout }))
}

/// Uploads and steps, newest first: who, when, why, from what to what
#[utoipa::path(get, path = "/api/admin/pricing/steps", operation_id = "listPluginSteps",
    params(("limit" = Option<u32>, Query, description = "Entries a page, 1 to 100; 50 unless given"),
        ("cursor" = Option<i64>, Query, description = "`cursor` of the page before")),
    responses((status = 200, description = "The page", body = AuditAnswer)))]
pub(crate) async fn steps(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    query: Query,
) -> Answer<AuditAnswer> {
    let limit = query.count("limit", LIMIT_MAX, LIMIT_DEFAULT)?;
    let before = query.place("cursor", CURSOR_ALLOWED)?;
    let entries = context.rollouts.steps(before, limit.saturating_add(1)).await?;
    Ok(Json(page(entries, limit)))
}

fn read(given: StepGiven) -> Result<Step, Refusal> {
    let needs = |field: &str| wrong(&format!("{field}: missing; this step needs it."));
    let StepGiven { step, sha256, share, reason: _ } = given;
    if share.is_some() && !matches!(step, StepName::Canary) {
        return Err(wrong("share: this step takes none; only canary does."));
    }
    match (step, sha256) {
        (StepName::StopShadow | StepName::Rollback, Some(_)) => Err(wrong("sha256: this step takes none.")),
        (StepName::StopShadow, None) => Ok(Step::StopShadow),
        (StepName::Rollback, None) => Ok(Step::Rollback),
        (_, None) => Err(needs("sha256")),
        (StepName::Shadow, Some(sha256)) => Ok(Step::Shadow { sha256 }),
        (StepName::Activate, Some(sha256)) => Ok(Step::Activate { sha256 }),
        (StepName::Canary, Some(sha256)) => {
            share.map(|share| Step::Canary { sha256, share }).ok_or_else(|| needs("share"))
        }
    }
}

fn wrong(why: &str) -> Refusal {
    Refusal::InvalidRequest(why.to_owned())
}

fn sentence(refused: &StepRefused) -> String {
    let text = refused.to_string();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), characters.as_str()))
}
