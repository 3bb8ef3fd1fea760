//! The OpenAPI document: made from the routes, so that it cannot say what is not so. What all routes share is added here.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::guard::Needs;
use crate::routes::list;

/// The name of the credential in the document.
const CREDENTIAL: &str = "credential";

/// How every refusal looks.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what the crate refusal writes")]
pub(crate) struct RefusalBody {
    /// Always false.
    success: bool,
    /// A sentence for people.
    error: String,
    /// A stable name for programs.
    code: String,
    /// The request, as the logs name it.
    request_id: String,
}

/// The document.
pub fn document() -> OpenApi {
    let mut router = OpenApiRouter::with_openapi(frame());
    for (needs, (schemas, mut paths, methods)) in list() {
        for item in paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
            operations.into_iter().flatten().for_each(|operation| complete(operation, needs));
        }
        router = router.routes((schemas, paths, methods));
    }
    router.into_openapi()
}

fn frame() -> OpenApi {
    let mut components = Components::new();
    components.schemas.insert("Refusal".to_owned(), RefusalBody::schema());
    components.add_security_scheme(CREDENTIAL, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let description = "Usage of organizations, for their members; organizations, plans and prices, for the operators. \
                       Amounts are JSON numbers with up to six decimals, moments are RFC 3339 in UTC, -1 is unlimited.";
    let info = InfoBuilder::new().title("Gateway: usage and administration").version(env!("CARGO_PKG_VERSION"));
    OpenApiBuilder::new().info(info.description(Some(description)).build()).components(Some(components)).build()
}

/// Adds what every operation shares: who may call it, the credential, the refusals.
fn complete(operation: &mut Operation, needs: Needs) {
    let (tag, who) = match needs {
        Needs::Member(permission) => ("usage", format!("Needs the permission `{permission:?}` in the organization.")),
        Needs::Operator => ("operators", "Needs a platform operator.".to_owned()),
    };
    operation.tags = Some(vec![tag.to_owned()]);
    let told = operation.description.take().map(|told| format!("{told}\n\n")).unwrap_or_default();
    operation.description = Some(told + &who);
    operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], _>(CREDENTIAL, [])]);
    let refusals = [
        ("400", "A parameter, a field or the body is wrong."),
        ("401", "No credential that verifies."),
        ("403", "Not allowed, or no such organization."),
        ("503", "The data cannot be reached; try again."),
    ];
    for (status, meaning) in refusals {
        operation.responses.responses.insert(status.to_owned(), RefOr::T(refusal(meaning)));
    }
}

fn refusal(meaning: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Refusal"))).build();
    ResponseBuilder::new().description(meaning).content("application/json", content).build()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        let made = crate::document().to_pretty_json().unwrap() + "\n";
        #[expect(clippy::disallowed_methods, reason = "how a developer asks for the file to be written anew")]
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(&file, &made).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == made,
            "admin-api/openapi.json is stale: UPDATE_OPENAPI=1 cargo test -p admin-api writes it"
        );
    }
}
