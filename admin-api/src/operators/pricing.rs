//! Which plugin sets prices, which did before it, which files were rejected and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::context::Context;
use crate::guard::Operator;

/// The plugins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricingAnswer {
    success: bool,
    /// `active`, `previous`, `canary` and `shadow` as this gateway sees them, `rejected` files, newest first, and the
    /// `rollout` that it follows.
    #[schema(value_type = Object)]
    pricing: Box<RawValue>,
}

/// The pricing plugins: active, previous, canary, shadow, rejected
#[utoipa::path(get, path = "/api/admin/pricing", operation_id = "showPricing",
    responses((status = 200, description = "The plugins", body = PricingAnswer)))]
pub(crate) async fn show(State(context): State<Arc<Context>>, _operator: Operator) -> Answer<PricingAnswer> {
    Ok(Json(PricingAnswer { success: true, pricing: context.pricing.report() }))
}
