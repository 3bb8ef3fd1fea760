//! Every route and what it needs. Nothing is reachable that is not on this list.

use std::collections::HashMap;
use std::sync::Arc;

use access::Permission::{CallAi, ManageUsage, SeeOwnUsage, SeeUsage};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{Paths, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::answer::{Methods, finish};
use crate::context::Context;
use crate::guard::{self, Gate, Needs, pass};
use crate::operators::{
    adjustments, credit_grants, event_definitions, members, organizations, plans, pricing, rollout,
};
use crate::{audit, counter, dashboard, event, history, management, own_usage, quote};

/// A route, or several on one path that need the same.
pub(crate) type Listed = (Needs, UtoipaMethodRouter<Arc<Context>>);

/// The list.
pub(crate) fn list() -> Vec<Listed> {
    vec![
        (Needs::Member(SeeUsage), routes!(counter::show)),
        (Needs::Member(SeeOwnUsage), routes!(own_usage::show)),
        (Needs::Member(SeeUsage), routes!(dashboard::show)),
        (Needs::Member(SeeOwnUsage), routes!(history::list)),
        (Needs::Member(SeeOwnUsage), routes!(event::show)),
        (Needs::Member(CallAi), routes!(quote::show)),
        (Needs::Member(SeeUsage), routes!(management::show)),
        (Needs::Member(ManageUsage), routes!(management::update)),
        (Needs::Member(SeeUsage), routes!(audit::list)),
        (Needs::Operator, routes!(organizations::show, organizations::put)),
        (Needs::Operator, routes!(members::put, members::delete)),
        (Needs::Operator, routes!(adjustments::list, adjustments::make)),
        (Needs::Operator, routes!(credit_grants::list, credit_grants::make)),
        (Needs::Operator, routes!(credit_grants::end)),
        (Needs::Operator, routes!(plans::show, plans::put)),
        (Needs::Operator, routes!(plans::versions)),
        (Needs::Operator, routes!(event_definitions::show, event_definitions::put)),
        (Needs::Operator, routes!(event_definitions::versions)),
        (Needs::Operator, routes!(pricing::show)),
        (Needs::Operator, routes!(rollout::upload, rollout::list)),
        (Needs::Operator, routes!(rollout::step)),
        (Needs::Operator, routes!(rollout::steps)),
    ]
}

/// The API. Unknown paths and methods are refused; whoever embeds it asks [`is_ours`](crate::is_ours) first.
pub fn router(context: Arc<Context>) -> Router {
    let mut router = OpenApiRouter::new();
    for (needs, (schemas, paths, methods)) in list() {
        let gate = Gate { context: Arc::clone(&context), needs, parameters: parameters_of(&paths) };
        let guard = from_fn_with_state(gate, pass);
        // Of an operators' path others do not even learn which methods it has.
        let methods = if needs == Needs::Operator { methods.layer(guard) } else { methods.route_layer(guard) };
        router = router.routes((schemas, paths, methods));
    }
    let (router, _document) = router.split_for_parts();
    // The operators' paths are theirs alone, those included where there is nothing.
    let mut router = router;
    for path in ["/api/admin", "/api/admin/", "/api/admin/{*rest}"] {
        router = router.route(path, any(guard::nothing));
    }
    router.layer(from_fn_with_state(methods(), finish)).with_state(context)
}

/// The query parameters of a path, as it is documented.
fn parameters_of(paths: &Paths) -> Arc<[String]> {
    let operations = paths.paths.values().flat_map(|item| [&item.get, &item.post, &item.put, &item.delete]).flatten();
    let parameters = operations.flat_map(|operation| operation.parameters.iter().flatten());
    let of_query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    });
    of_query.collect()
}

/// The methods of each path, as `Allow` lists them.
fn methods() -> Methods {
    let mut methods: HashMap<String, Vec<&str>> = HashMap::new();
    for (path, item) in list().into_iter().flat_map(|(_, (_, paths, _))| paths.paths) {
        let known = [
            (item.get.is_some(), "GET, HEAD"),
            (item.post.is_some(), "POST"),
            (item.put.is_some(), "PUT"),
            (item.delete.is_some(), "DELETE"),
        ];
        methods.entry(path).or_default().extend(known.iter().filter(|(there, _)| *there).map(|(_, name)| *name));
    }
    Arc::new(methods.into_iter().map(|(path, methods)| (path, methods.join(", "))).collect())
}
