//! The price list, as the operators keep it. A change is in force for the next call when its answer arrives; calls that
//! were quoted before it settle as quoted.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use ledger::{Adjustment, Changed, Clamp, Credits, EventDefinition, EventType, Timestamp, Version};
use refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{named, repeated, required};
use crate::answer::{Answer, Refused};
use crate::bounded::{Amount, Given, Name, Object};
use crate::context::Context;
use crate::guard::Operator;
use crate::json_body::JsonBody;

/// Feature flags with a price, at most.
const FEATURES_MAX: usize = 64;
/// The longest name of a flag in bytes.
const FEATURE_BYTES_MAX: usize = 128;
/// The category of a new definition that names none.
const CATEGORY: &str = "uncategorized";

/// An event definition.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinitionAnswer {
    success: bool,
    #[schema(value_type = DefinitionShown)]
    event_definition: EventDefinition,
}

/// The versions of an event definition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DefinitionVersionsAnswer {
    success: bool,
    versions: Vec<DefinitionVersion>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DefinitionVersion {
    /// Since when it was in force; null for what was there from the start.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// Who made it.
    by: Option<String>,
    #[schema(value_type = DefinitionShown)]
    event_definition: EventDefinition,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes ledger::EventDefinition")]
struct DefinitionShown {
    event_type: String,
    name: String,
    category: String,
    base_credits: f64,
    complexity: Option<ClampShown>,
    /// Credits that each flag adds.
    features: BTreeMap<String, f64>,
    /// Counts up with every change.
    version: i64,
}

/// An event definition to make or change. What is absent stays as it is, what is null is as if it had never been set;
/// `baseCredits` must always be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DefinitionGiven {
    /// The same as in the path, or absent.
    #[schema(value_type = Option<String>)]
    event_type: Option<EventType>,
    /// The name for people.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Given<Name>,
    /// The group in which reports show it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    category: Given<Name>,
    /// Credits before complexity and add-ons.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    base_credits: Given<Amount>,
    /// Between what complexity is kept; null where it does not apply.
    #[serde(default)]
    #[schema(value_type = Option<ClampShown>)]
    complexity: Given<Object<Clamp>>,
    /// Credits that each flag adds, all of them; 64 flags at most.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, f64>>)]
    features: Given<BTreeMap<String, Amount>>,
    /// Written by the gateway; taken so that what was read can be sent back, and not looked at.
    #[serde(rename = "version")]
    _version: Option<i64>,
}

/// Factors, both ends in; three decimals at most.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes ledger::Clamp")]
struct ClampShown {
    min: f64,
    max: f64,
}

/// An event definition
#[utoipa::path(get, path = "/api/admin/event-definitions/{eventType}", operation_id = "showEventDefinition",
    params(("eventType" = String, Path, description = "The event type")),
    responses((status = 200, description = "The definition", body = DefinitionAnswer),
        (status = 404, description = "No such definition")))]
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    Path(name): Path<String>,
) -> Answer<DefinitionAnswer> {
    let event_definition = find(&context, &named(&name)?).await?.ok_or(Refusal::NotFound("event definition"))?;
    Ok(Json(DefinitionAnswer { success: true, event_definition }))
}

/// Every version of an event definition, newest first
///
/// A usage event names the version that priced it.
#[utoipa::path(get, path = "/api/admin/event-definitions/{eventType}/versions",
    operation_id = "listEventDefinitionVersions",
    params(("eventType" = String, Path, description = "The event type")),
    responses((status = 200, description = "The versions", body = DefinitionVersionsAnswer),
        (status = 404, description = "No such definition")))]
pub(crate) async fn versions(
    State(context): State<Arc<Context>>,
    _operator: Operator,
    Path(name): Path<String>,
) -> Answer<DefinitionVersionsAnswer> {
    let versions = context.directory.event_definition_versions(&named(&name)?).await?;
    if versions.is_empty() {
        return Err(Refusal::NotFound("event definition").into());
    }
    let shown = |version: Version<EventDefinition>| DefinitionVersion {
        at: version.at,
        by: version.by,
        event_definition: version.value,
    };
    Ok(Json(DefinitionVersionsAnswer { success: true, versions: versions.into_iter().map(shown).collect() }))
}

/// Make or change an event definition
#[utoipa::path(put, path = "/api/admin/event-definitions/{eventType}", operation_id = "putEventDefinition",
    params(("eventType" = String, Path, description = "The event type")),
    request_body = DefinitionGiven,
    responses((status = 200, description = "The definition as it is now", body = DefinitionAnswer)))]
pub(crate) async fn put(
    State(context): State<Arc<Context>>,
    operator: Operator,
    Path(name): Path<String>,
    JsonBody(mut given): JsonBody<DefinitionGiven>,
) -> Answer<DefinitionAnswer> {
    let event_type: EventType = named(&name)?;
    repeated("eventType", &event_type, given.event_type.take())?;
    if event_type.as_str() == Adjustment::KIND {
        let why = format!("The path names it wrongly: {event_type} is what adjustments are; allowed: any other name.");
        return Err(Refusal::InvalidRequest(why).into());
    }
    check(&given)?;
    let present = find(&context, &event_type).await?;
    let definition = merged(event_type.clone(), given, present)?;
    let change = operator.change(context.clock.now());
    let event_definition = context.directory.put_event_definition(&definition, &change).await?;
    context.live.changed(&Changed::EventDefinition(event_type)).await;
    Ok(Json(DefinitionAnswer { success: true, event_definition }))
}

async fn find(context: &Context, name: &EventType) -> Result<Option<EventDefinition>, Refused> {
    Ok(context.directory.event_definitions().await?.into_iter().find(|definition| definition.event_type == *name))
}

fn check(given: &DefinitionGiven) -> Result<(), Refusal> {
    let refused = |why: String| Err(Refusal::InvalidRequest(why));
    if let Given::Value(Object(clamp)) = &given.complexity
        && clamp.min > clamp.max
    {
        return refused(format!("complexity.min: {} is more than max; allowed: {} at most.", clamp.min, clamp.max));
    }
    let Given::Value(features) = &given.features else { return Ok(()) };
    if features.len() > FEATURES_MAX {
        return refused(format!("features: too many; allowed: {FEATURES_MAX} at most."));
    }
    let fits =
        |flag: &String| !flag.is_empty() && flag.len() <= FEATURE_BYTES_MAX && !flag.chars().any(char::is_control);
    if !features.keys().all(fits) {
        let allowed = format!("1 to {FEATURE_BYTES_MAX} bytes without control characters");
        return refused(format!("features: a flag's name does not fit; allowed: {allowed}."));
    }
    Ok(())
}

/// What is given over what is there.
fn merged(
    event_type: EventType,
    given: DefinitionGiven,
    present: Option<EventDefinition>,
) -> Result<EventDefinition, Refusal> {
    let base_credits = present.as_ref().map(|present| Amount(present.base_credits));
    let unset = EventDefinition {
        name: event_type.to_string(),
        category: CATEGORY.to_owned(),
        base_credits: required("baseCredits", given.base_credits, base_credits, "a new event definition")?.0,
        complexity: None,
        features: BTreeMap::new(),
        version: 0,
        event_type,
    };
    let present = present.unwrap_or_else(|| unset.clone());
    let amounts = |features: BTreeMap<String, Amount>| -> BTreeMap<String, Credits> {
        features.into_iter().map(|(flag, amount)| (flag, amount.0)).collect()
    };
    Ok(EventDefinition {
        event_type: unset.event_type,
        name: given.name.else_of(present.name, unset.name, |name| name.0),
        category: given.category.else_of(present.category, unset.category, |category| category.0),
        base_credits: unset.base_credits,
        complexity: given.complexity.else_of(present.complexity, unset.complexity, |Object(clamp)| Some(clamp)),
        features: given.features.else_of(present.features, unset.features, amounts),
        version: present.version,
    })
}
