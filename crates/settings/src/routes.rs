//! `[[routes]]`: which requests are metered, and what of them a price may depend on.

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
    /// Its place in the list, from 0: what faults call it.
    pub index: usize,
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
    /// Where its answers say what they used.
    pub answer: Answer,
}

/// `answer` of one of `[[routes]]`: JSON pointers into its answers. What is not named is found by the shapes of OpenAI's
/// and Anthropic's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// To the model.
    pub model: Option<String>,
    /// To the tokens read.
    pub input_tokens: Option<String>,
    /// To the tokens written.
    pub output_tokens: Option<String>,
    /// To those of the input that a cache had.
    pub cached_input_tokens: Option<String>,
    /// To those of the input that were written into a cache.
    pub cache_write_tokens: Option<String>,
    /// To those of the output that were reasoning.
    pub reasoning_tokens: Option<String>,
    /// To scalars that the plugin may see when it settles.
    pub scalars: Vec<String>,
}

/// Reads all routes; a route with a fault is left out, its fault noted.
pub(crate) fn read(document: &mut Document) -> Vec<Route> {
    let items = document.sections("routes");
    if items.len() > ROUTES_MAX {
        document.fault("routes", &format!("has {} routes", items.len()), &format!("at most {ROUTES_MAX}"));
    }
    let mut routes: Vec<Route> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let origin = item.origin.clone();
        let name = format!("routes[{index}]");
        let Some(route) = read_one(document, index, item) else { continue };
        if let Some(before) = routes.iter().find(|before| route.is_ambiguous_with(before)) {
            let what = format!("matches the same requests as a route before it: {} and {}", route.path, before.path);
            document.fault_at(&origin, &format!("{name}.path"), &what, "one route a method and path");
        }
        routes.push(route);
    }
    routes
}

fn read_one(document: &mut Document, index: usize, item: Item) -> Option<Route> {
    let name = format!("routes[{index}]");
    let Value::Table(keys) = item.value else {
        document.fault_at(&item.origin, &name, "is no route", "a table with methods, path and event_type");
        return None;
    };
    let mut section = Section::of(document, name, keys, Some(item.origin));
    let methods = methods(&mut section);
    let path = section.required("path", PATHS);
    if !path.is_empty() && !is_template(&path) {
        section.wrong("path", &format!("is \"{path}\""), PATHS);
    }
    let name = section.required("event_type", EVENT_TYPES);
    let event_type = name.parse();
    if event_type.is_err() && !name.is_empty() {
        section.wrong("event_type", &format!("is {name:?}"), EVENT_TYPES);
    }
    let joins = [("first", TextJoin::First), ("concat", TextJoin::Concat)];
    let text = pointers(&mut section, "text");
    let text_join = section.choice("text_join", TextJoin::First, &joins);
    let flags = pointers(&mut section, "flags");
    let scalars = pointers(&mut section, "scalars");
    let session = section.text("session").filter(|session| !session.is_empty());
    if session.as_ref().is_some_and(|session| !is_pointer(session)) {
        section.wrong("session", "is no JSON pointer", POINTERS);
    }
    let answer = section.take("answer");
    section.close();
    let answer =
        answer.map_or_else(Answer::default, |item| answer_of(document, &format!("routes[{index}].answer"), item));
    Some(Route { index, methods, path, event_type: event_type.ok()?, text, text_join, flags, scalars, session, answer })
}

fn answer_of(document: &mut Document, name: &str, item: Item) -> Answer {
    let Value::Table(keys) = item.value else {
        document.fault_at(&item.origin, name, "is no table", "a table such as { output_tokens = \"/meta/tokens\" }");
        return Answer::default();
    };
    let mut section = Section::of(document, name.to_owned(), keys, Some(item.origin));
    let mut pointer = |key| {
        let pointer = section.text(key).filter(|pointer| !pointer.is_empty());
        if pointer.as_ref().is_some_and(|pointer| !is_pointer(pointer)) {
            section.wrong(key, "is no JSON pointer", POINTERS);
        }
        pointer
    };
    let (model, input_tokens, output_tokens) = (pointer("model"), pointer("input_tokens"), pointer("output_tokens"));
    let (cached_input_tokens, cache_write_tokens) = (pointer("cached_input_tokens"), pointer("cache_write_tokens"));
    let reasoning_tokens = pointer("reasoning_tokens");
    let scalars = pointers(&mut section, "scalars");
    section.close();
    Answer { model, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, scalars }
}

fn methods(section: &mut Section<'_>) -> Vec<String> {
    let is_there = section.has("methods");
    let methods = section.list("methods");
    let is_method = |method: &String| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if let Some(other) = methods.iter().find(|method| !is_method(method)) {
        section.wrong("methods", &format!("has {other:?}"), METHODS);
    } else if methods.is_empty() && section.is_sound("methods") {
        section.wrong("methods", if is_there { "has no method" } else { "is missing" }, METHODS);
    }
    methods
}

const METHODS: &str = "a list of methods in capital letters, such as [\"POST\"]";
const PATHS: &str =
    "a path such as /api/organizations/{orgId}/analyze: {orgId} once, no empty or dot segments, no escapes";
const EVENT_TYPES: &str = "an event type of 1 to 128 bytes, such as structuring_diagnose";
const POINTERS: &str = "JSON pointers (RFC 6901) such as /content";

fn pointers(section: &mut Section<'_>, key: &'static str) -> Vec<String> {
    let pointers = section.list(key);
    if pointers.len() > POINTERS_MAX {
        section.wrong(key, &format!("has {} pointers", pointers.len()), &format!("at most {POINTERS_MAX}"));
    }
    for pointer in pointers.iter().filter(|pointer| !is_pointer(pointer)) {
        section.wrong(key, &format!("has \"{pointer}\""), POINTERS);
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

impl Route {
    /// Whether a request could be priced, or its organisation be read, by either.
    fn is_ambiguous_with(&self, other: &Self) -> bool {
        let pairs = || self.path.split('/').zip(other.path.split('/'));
        let is_parameter = |segment: &str| segment.starts_with('{');
        let overlaps = pairs().all(|(one, two)| one == two || is_parameter(one) || is_parameter(two))
            && self.path.split('/').count() == other.path.split('/').count();
        let other_organization = pairs().any(|(one, two)| (one == "{orgId}") != (two == "{orgId}"));
        overlaps && (other_organization || self.methods.iter().any(|method| other.methods.contains(method)))
    }
}
