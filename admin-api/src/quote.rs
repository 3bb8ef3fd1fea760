//! What a call would cost, without making it: nothing is held or charged, and the backend hears nothing.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use ledger::{
    Book, BookSnapshot, ChargeItem, Credits, EventType, HoldRefused, Limit, OrganizationRecord, Period, PluginIdentity,
    Role, Timestamp,
};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::answer::{Answer, Refused};
use crate::context::Context;
use crate::counter::book;
use crate::event::{ItemShown, PluginShown};
use crate::guard::Membership;
use crate::json_body::parse;
use crate::live::{Asked, Which};
use crate::overview::left;

/// The longest body taken by the path that quotes, in bytes: the call's own body is inside. A gateway also refuses a
/// call's body over its `server.max_body`.
pub const QUOTE_BYTES_MAX: usize = 16 << 20;

/// A call to be quoted: either `path` or `eventType` says which.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct QuoteBody {
    /// The route's path as configured, `{orgId}` and all, or as it would be called.
    path: Option<String>,
    /// The event type, where one route only charges for it.
    #[schema(value_type = Option<String>)]
    event_type: Option<EventType>,
    /// The call's body, as it would be sent; an empty object unless given.
    #[schema(value_type = Option<Object>)]
    body: Option<Box<RawValue>>,
}

/// A quote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteAnswer {
    success: bool,
    quote: QuoteShown,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct QuoteShown {
    #[schema(value_type = String)]
    event_type: EventType,
    event_name: String,
    /// The route's path as configured.
    endpoint: String,
    /// The most that the call can cost: what would be held for it.
    #[schema(value_type = f64)]
    credits: Credits,
    /// Whether a success costs exactly that; else it is settled by what the backend did, and costs at most that.
    exact: bool,
    /// What it is for, item by item.
    #[schema(value_type = Vec<ItemShown>)]
    items: Vec<ChargeItem>,
    /// Whether a call made now would be let through.
    would_pass: bool,
    /// Why not, as the call would be told.
    refusal: Option<RefusalShown>,
    /// What the limit leaves now, before this call; -1 is unlimited.
    #[schema(value_type = f64)]
    remaining_credits: Limit,
    /// The same less what calls on their way hold.
    #[schema(value_type = f64)]
    available_credits: Limit,
    /// When the next period begins.
    #[schema(value_type = String, format = DateTime)]
    resets_at: Timestamp,
    /// The plugin that set the price.
    #[schema(value_type = PluginShown)]
    plugin: Arc<PluginIdentity>,
    definition_version: i64,
}

/// A refusal that a call would meet.
#[derive(Debug, Serialize, ToSchema)]
struct RefusalShown {
    status: u16,
    code: &'static str,
    /// A sentence for people.
    error: String,
}

impl From<Refusal> for RefusalShown {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.status(), code: refusal.code(), error: refusal.sentence().into_owned() }
    }
}

/// What a call would cost, and whether it would pass
///
/// Nothing is held or charged, and the backend is not called. A call that the plugin declines is refused as the call
/// itself would be (422).
#[utoipa::path(post, path = "/api/organizations/{orgId}/usage/quote", operation_id = "quoteCall",
    params(("orgId" = String, Path, description = "The organization")), request_body = QuoteBody,
    responses((status = 200, description = "The quote", body = QuoteAnswer),
        (status = 422, description = "The plugin does not offer this call.")))]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    membership: Membership,
    request: Request,
) -> Answer<QuoteAnswer> {
    let too_large = |_| Refusal::BodyTooLarge(u64::try_from(QUOTE_BYTES_MAX).unwrap_or(u64::MAX));
    let bytes = to_bytes(request.into_body(), QUOTE_BYTES_MAX).await.map_err(too_large)?;
    let asked: QuoteBody = parse(&bytes)?;
    let which = match (&asked.path, &asked.event_type) {
        (Some(path), None) => Which::Path(path),
        (None, Some(event_type)) => Which::EventType(event_type),
        _ => {
            let allowed = "Give either path or eventType: which call is to be quoted.";
            return Err(Refusal::InvalidRequest(allowed.to_owned()).into());
        }
    };
    let body = asked.body.as_ref().map_or("{}", |body| body.get());
    let record = &*membership.record;
    let priced = context.live.quote(Asked { record, which, body: body.as_bytes() }).await?;
    let period = Period::of(context.clock.now());
    let book = book(&context, membership.id(), period).await?;
    let of_user = left_to(&context, &membership, period).await?;
    let refusal = would_refuse(record, membership.member.role, book, of_user, period, priced.credits)?;
    let grant = record.grant();
    let quote = QuoteShown {
        event_type: priced.event_type,
        event_name: priced.event_name,
        endpoint: priced.endpoint.to_string(),
        credits: priced.credits,
        exact: priced.exact,
        items: priced.items,
        would_pass: refusal.is_none(),
        refusal: refusal.map(RefusalShown::from),
        remaining_credits: left(grant.credits, book.used),
        available_credits: left(grant.credits, book.used.saturating_add(book.held)),
        resets_at: period.end(),
        plugin: priced.plugin,
        definition_version: priced.definition_version,
    };
    Ok(Json(QuoteAnswer { success: true, quote }))
}

/// What the caller's own limit leaves; `None` where there is none. What a call on its way holds is not counted.
async fn left_to(context: &Context, membership: &Membership, period: Period) -> Result<Option<Credits>, Refused> {
    let limit = membership.record.member_limit(&membership.member);
    if limit == Limit::Unlimited {
        return Ok(None);
    }
    context.live.caught_up().await;
    let used = context.usage.used_by(membership.id(), period, &membership.member.user_id).await?;
    Ok(limit.remaining(used))
}

/// The refusal that a call of these credits would meet now. A book of the same figures decides, so that the rule is the
/// one that calls meet.
fn would_refuse(
    record: &OrganizationRecord,
    role: Role,
    book: BookSnapshot,
    of_user: Option<Credits>,
    period: Period,
    credits: Credits,
) -> Result<Option<Refusal>, Refused> {
    let status = record.organization.subscription_status;
    if access::may_call(role, status).is_err() {
        return Ok(Some(Refusal::BillingInactive(status)));
    }
    let spent = Book::new(book.used.saturating_add(book.held), book.calls_used.saturating_add(book.calls_held));
    let resets_at = period.end();
    if let Some(remaining) = of_user.filter(|left| *left < credits) {
        return Ok(Some(Refusal::UserLimitExceeded { remaining, needed: credits, resets_at }));
    }
    match spent.open(credits, record.grant()) {
        Ok(hold) => {
            hold.void();
            Ok(None)
        }
        Err(refused @ HoldRefused::Amount(_)) => Err(Refusal::of_hold(refused, resets_at).into()),
        Err(refused) => Ok(Some(Refusal::of_hold(refused, resets_at))),
    }
}

/// What is wrong with the name of a call.
#[must_use]
pub fn unknown_call(what: &str, allowed: impl Iterator<Item = impl AsRef<str>>) -> Refusal {
    let allowed: Vec<Cow<'_, str>> = allowed.map(|name| Cow::Owned(name.as_ref().to_owned())).collect();
    let allowed = if allowed.is_empty() { "nothing is metered".to_owned() } else { allowed.join(", ") };
    Refusal::InvalidRequest(format!("{what}; allowed: {allowed}."))
}
