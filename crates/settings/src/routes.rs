//! `[[routes]]`: which requests are metered, and what of them a price may depend on.

use std::collections::BTreeSet;

use ledger::EventType;

use crate::document::{Document, Item, Value};
use crate::section::Section;

/// Routes, at most.
const ROUTES_MAX: usize = 1_000;
/// Pointers of one kind in a route, at most.
const POINTERS_MAX: usize = 32;

/// What several text pointers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextJoin {
    /// The first that has text.
    First,
    /// All, joined with nothing.
    Concat,
}

/// One of `[[routes]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Methods, in capitals.
    pub methods: Vec<String>,
    /// The path, with `{orgId}` once.
    pub path: String,
    /// What is charged.
    pub event_type: EventType,
    /// JSON pointers to the text that sets complexity; `""` is the whole body.
    pub text: Vec<String>,
    /// What several of them mean.
    pub text_join: TextJoin,
    /// JSON pointers to feature flags.
    pub flags: Vec<String>,
    /// JSON pointers to scalars that the plugin may see.
    pub scalars: Vec<String>,
    /// The JSON pointer to the session.
    pub session: Option<String>,
}

/// Reads all routes; a route with a fault is left out, its fault noted.
pub(crate) fn read(document: &mut Document) -> Vec<Route> {
    let items = document.sections("routes");
    if items.len() > ROUTES_MAX {
        document.fault("routes", &format!("has {} routes", items.len()), &format!("at most {ROUTES_MAX}"));
    }
    let mut shapes = BTreeSet::new();
    let mut routes = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let origin = item.origin.clone();
        let name = format!("routes[{index}]");
        let Some(route) = read_one(document, &name, item) else { continue };
        for method in &route.methods {
            // Two routes that differ only in their parameters' names match the same requests.
            if !shapes.insert((method.clone(), shape(&route.path))) {
                let what = format!("matches the same requests as a route before it: {method} {}", route.path);
                document.fault_at(&origin, &format!("{name}.path"), &what, "one route a method and path");
            }
        }
        routes.push(route);
    }
    routes
}

fn read_one(document: &mut Document, name: &str, item: Item) -> Option<Route> {
    let Value::Table(keys) = item.value else {
        document.fault_at(&item.origin, name, "is no route", "a table with methods, path and event_type");
        return None;
    };
    let mut section = Section::of(document, name.to_owned(), keys);
    let methods = section.list("methods");
    let is_method = |method: &String| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if methods.is_empty() || !methods.iter().all(is_method) {
        section.wrong("methods", Some(&item.origin), "is missing or no list of methods", "a list such as [\"POST\"]");
    }
    let path = section.required("path", PATHS);
    if !path.is_empty() && !is_template(&path) {
        section.wrong("path", Some(&item.origin), &format!("is \"{path}\""), PATHS);
    }
    let event_type = section.required("event_type", "an event type, such as structuring_diagnose").parse();
    let joins = [("first", TextJoin::First), ("concat", TextJoin::Concat)];
    let text = pointers(&mut section, "text", &item.origin);
    let text_join = section.choice("text_join", TextJoin::First, &joins);
    let flags = pointers(&mut section, "flags", &item.origin);
    let scalars = pointers(&mut section, "scalars", &item.origin);
    let session = section.text("session").filter(|session| !session.is_empty());
    if session.as_ref().is_some_and(|session| !is_pointer(session)) {
        section.wrong("session", Some(&item.origin), "is no JSON pointer", POINTERS);
    }
    section.close();
    Some(Route { methods, path, event_type: event_type.ok()?, text, text_join, flags, scalars, session })
}

const PATHS: &str = "a path such as /api/organizations/{orgId}/analyze: {orgId} once, no empty or dot segments, no escapes";
const POINTERS: &str = "JSON pointers (RFC 6901) such as /content";

fn pointers(section: &mut Section<'_>, key: &'static str, origin: &crate::document::Origin) -> Vec<String> {
    let pointers = section.list(key);
    if pointers.len() > POINTERS_MAX {
        section.wrong(key, Some(origin), &format!("has {} pointers", pointers.len()), &format!("at most {POINTERS_MAX}"));
    }
    for pointer in pointers.iter().filter(|pointer| !is_pointer(pointer)) {
        section.wrong(key, Some(origin), &format!("has \"{pointer}\""), POINTERS);
    }
    pointers
}

fn is_pointer(text: &str) -> bool {
    let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escaped
}

fn is_template(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
    let is_segment = |segment: &str| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(parameter) => !parameter.is_empty() && parameter.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        None => !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain),
    };
    rest.split('/').all(is_segment) && rest.split('/').filter(|segment| *segment == "{orgId}").count() == 1
}

fn shape(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}
