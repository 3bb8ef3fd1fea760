//! Which requests are metered, from configuration. One table, looked up by decoded segments.

use std::sync::Arc;

use http::Method;
use ledger::{EventType, IdError, OrganizationId};
use payload::signals::{Extractor, PointerError, SignalRules};
use payload::usage::{UsageReader, UsageRules};

use crate::canonical::{self, CanonicalPath};

/// The parameter that names the organisation.
const ORGANIZATION_PARAMETER: &str = "{orgId}";

/// One metered route.
pub(crate) struct Route {
    /// The path as configured; the label in metrics and the endpoint in events.
    pub(crate) path: Arc<str>,
    /// What is charged for it.
    pub(crate) event_type: EventType,
    /// What of the body the price depends on.
    pub(crate) extractor: Extractor,
    /// What of the answer it depends on when it is settled.
    pub(crate) reader: Arc<UsageReader>,
    methods: Vec<Method>,
    segments: Vec<Segment>,
}

enum Segment {
    Literal(String),
    Organization,
    Any,
}

/// What a route is made of.
pub(crate) struct RouteRules {
    pub(crate) methods: Vec<Method>,
    pub(crate) path: String,
    pub(crate) event_type: EventType,
    pub(crate) signals: SignalRules,
    pub(crate) answer: UsageRules,
}

/// What the table says of a request.
pub(crate) enum Matched {
    /// No business of ours.
    Unmetered,
    /// To be paid for.
    Metered(Arc<Route>, OrganizationId),
    /// A metered path with another method, such as its health check: for members, free.
    MembersOnly(Arc<Route>, OrganizationId),
    /// Reads like a metered path to a lenient backend: other case, trailing slash, path parameters, a format after a dot,
    /// encoded twice.
    LookAlike,
    /// A metered path with a metered method in another case (`post`), which a lenient backend takes for it.
    MethodInOtherCase,
    /// A metered path whose organisation can have no such name.
    NoSuchOrganization,
}

/// The metered routes.
#[derive(Default)]
pub(crate) struct Routes(Vec<Arc<Route>>);

impl Routes {
    pub(crate) fn new(rules: impl IntoIterator<Item = RouteRules>) -> Result<Self, PointerError> {
        rules.into_iter().map(|rules| Route::new(rules).map(Arc::new)).collect::<Result<_, _>>().map(Self)
    }

    /// The route that is configured with this path, or the first.
    pub(crate) fn configured(&self, path: Option<&str>) -> Option<Arc<Route>> {
        self.0.iter().find(|route| path.is_none_or(|path| *route.path == *path)).map(Arc::clone)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Route>> + Clone {
        self.0.iter()
    }

    /// Looks a request up. The method is matched after the path, so that no method slips past a metered path.
    pub(crate) fn find(&self, method: &Method, path: &CanonicalPath) -> Matched {
        let segments = path.segments();
        let on_path = || self.0.iter().filter(|route| route.matches(segments, exact));
        let metered = on_path().find(|route| route.methods.contains(method));
        if let Some(route) = metered.or_else(|| on_path().next()) {
            return match route.organization(segments) {
                Err(_) => Matched::NoSuchOrganization,
                Ok(id) if route.methods.contains(method) => Matched::Metered(Arc::clone(route), id),
                Ok(_) if on_path().any(|route| route.has_in_other_case(method)) => Matched::MethodInOtherCase,
                Ok(id) => Matched::MembersOnly(Arc::clone(route), id),
            };
        }
        let folded = segments.iter().map(|segment| fold(segment));
        let lenient: Vec<String> = folded.filter(|segment| !segment.is_empty()).collect();
        let is_operators = matches!(&*lenient, [api, admin, ..] if alike("api", api) && alike("admin", admin));
        if is_operators || is_ours(segments) || self.0.iter().any(|route| route.matches(&lenient, alike)) {
            return Matched::LookAlike;
        }
        Matched::Unmetered
    }
}

/// Whether a path is the API's once it is decoded. One that is as it came never gets here.
fn is_ours(segments: &[String]) -> bool {
    admin_api::is_ours(&segments.iter().fold(String::new(), |path, segment| path + "/" + segment))
}

/// What a lenient backend may make of a segment that it decodes once more; of some it makes nothing.
fn fold(segment: &str) -> String {
    let again = canonical::decoded_again(segment.as_bytes());
    String::from_utf8_lossy(canonical::bare(&again)).trim().to_owned()
}

fn exact(one: &str, other: &str) -> bool {
    one == other
}

/// The same but for its case and a format after a dot (`analyze.json`).
fn alike(literal: &str, segment: &str) -> bool {
    let stem = segment.split_once('.').map_or(segment, |(stem, _format)| stem);
    [segment, stem].iter().any(|name| name.eq_ignore_ascii_case(literal))
}

impl Route {
    fn new(rules: RouteRules) -> Result<Self, PointerError> {
        let segments = rules.path.trim_start_matches('/').split('/').map(|segment| match segment {
            ORGANIZATION_PARAMETER => Segment::Organization,
            parameter if parameter.starts_with('{') => Segment::Any,
            literal => Segment::Literal(literal.to_owned()),
        });
        Ok(Self {
            segments: segments.collect(),
            path: rules.path.into(),
            event_type: rules.event_type,
            extractor: Extractor::new(rules.signals)?,
            reader: Arc::new(UsageReader::new(rules.answer)?),
            methods: rules.methods,
        })
    }

    /// The first method with which it is metered.
    pub(crate) fn method(&self) -> Method {
        self.methods.first().cloned().unwrap_or(Method::POST)
    }

    /// A path of this route, for an organisation whose id needs no escaping.
    pub(crate) fn path_for(&self, organization: &OrganizationId) -> String {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(literal) => literal.as_str(),
            Segment::Organization => organization.as_str(),
            Segment::Any => "drill",
        });
        segments.fold(String::new(), |path, segment| path + "/" + segment)
    }

    fn matches<S: AsRef<str>>(&self, segments: &[S], same: fn(&str, &str) -> bool) -> bool {
        self.segments.len() == segments.len()
            && self.segments.iter().zip(segments).all(|(want, segment)| match want {
                Segment::Literal(literal) => same(literal, segment.as_ref()),
                Segment::Organization | Segment::Any => !segment.as_ref().is_empty(),
            })
    }

    fn has_in_other_case(&self, method: &Method) -> bool {
        self.methods.iter().any(|metered| metered.as_str().eq_ignore_ascii_case(method.as_str()))
    }

    fn organization(&self, segments: &[String]) -> Result<OrganizationId, IdError> {
        let at = self.segments.iter().position(|segment| matches!(segment, Segment::Organization));
        at.and_then(|at| segments.get(at)).map_or("", String::as_str).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &Method, path: &str) -> &'static str {
        let rules = |path: &str, event_type: &str| RouteRules {
            methods: vec![Method::POST],
            path: path.to_owned(),
            event_type: event_type.parse().unwrap(),
            signals: SignalRules::default(),
            answer: UsageRules::default(),
        };
        let routes = Routes::new([
            rules("/api/organizations/{orgId}/structuring/analyze-pain-points", "a"),
            rules("/v1/{orgId}/models/{model}/run", "b"),
        ])
        .unwrap();
        match routes.find(method, &canonical::read(path.as_bytes()).unwrap()) {
            Matched::Unmetered => "unmetered",
            Matched::Metered(_, id) if id.as_str() == "o 1" => "metered for o 1",
            Matched::Metered(..) => "metered",
            Matched::MembersOnly(..) => "members only",
            Matched::LookAlike => "look-alike",
            Matched::MethodInOtherCase => "method in other case",
            Matched::NoSuchOrganization => "no such organization",
        }
    }

    #[test]
    fn the_table_reads_every_path_one_way() {
        let long = format!("/v1/{}/models/m/run", "x".repeat(129));
        let cases = [
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points", "metered"),
            (Method::POST, "/api/organizations/o%201/structuring/analyze-pain-points", "metered for o 1"),
            (Method::POST, "/api/organizations/o1/structuring/analyze%2Dpain-points", "metered"),
            (Method::GET, "/api/organizations/o1/structuring/analyze-pain-points", "members only"),
            (Method::PUT, "/api/organizations/o1/structuring/analyze-pain-points", "members only"),
            (Method::from_bytes(b"post").unwrap(), "/v1/o1/models/gpt/run", "method in other case"),
            (Method::from_bytes(b"FOO").unwrap(), "/v1/o1/models/gpt/run", "members only"),
            (Method::GET, "/api/%61dmin/pricing", "look-alike"),
            (Method::GET, "/%61pi/admin/pricing", "look-alike"),
            (Method::GET, "/api/Admin/pricing", "look-alike"),
            (Method::GET, "/api/admin;x/pricing", "look-alike"),
            (Method::GET, "/api/organizations/hi/us%61ge", "look-alike"),
            (Method::GET, "/api/organizations/hi/usages", "unmetered"),
            (Method::GET, "/api/administrators", "unmetered"),
            (Method::POST, "/api/organizations/o1/structuring/Analyze-Pain-Points", "look-alike"),
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points/", "look-alike"),
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points;v=1", "look-alike"),
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points%20", "look-alike"),
            (Method::POST, "/api/organizations/o1/structuring/analyze%252Dpain-points", "look-alike"),
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points%23f", "look-alike"),
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points%3Fq", "look-alike"),
            (Method::POST, "/;/api/organizations/o1/%20/structuring/analyze-pain-points", "look-alike"),
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points.json", "look-alike"),
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points.json/more", "unmetered"),
            (Method::POST, "/x/...;/api/organizations/o1/structuring/analyze-pain-points", "unmetered"),
            (Method::POST, "/api/organizations/o1/structuring", "unmetered"),
            (Method::POST, "/api/organizations/o1/structuring/analyze-pain-points/more", "unmetered"),
            (Method::POST, "/v1/o1/models/gpt/run", "metered"),
            (Method::POST, "/v1/o1/models//run", "refused"),
            (Method::GET, "/", "unmetered"),
            (Method::POST, long.as_str(), "no such organization"),
        ];
        for (method, path, want) in cases.into_iter().filter(|case| case.2 != "refused") {
            assert_eq!(find(&method, path), want, "{method} {path}");
        }
    }
}
