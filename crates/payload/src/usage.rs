//! What a backend's answer says of its work: model and tokens, by the shapes of OpenAI's and Anthropic's APIs, or where the
//! route's own pointers say.
//!
//! Unknown is not zero: what the answer does not say, or says with anything but a whole number of zero or more, is absent.
//! Counts that grow from event to event of a stream are never added up: the last one counts.

mod shapes;
mod stream;

use ledger::{ModelUsage, Scalar};

use crate::json::Scanner;
use crate::signals::{Found, Node, PointerError, Want};
use shapes::{Counts, PLACES, Place};

pub use stream::{Heard, StreamReader};

/// What is in every shape that is known: an answer without it is not looked at any closer.
const MARK: &[u8] = b"_tokens";

/// Where a route's configuration says that its answers have something. What it does not name is found by shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRules {
    /// The pointer to the model.
    pub model: Option<String>,
    /// The pointer to the tokens read.
    pub input_tokens: Option<String>,
    /// The pointer to the tokens written.
    pub output_tokens: Option<String>,
    /// The pointer to those that a cache had.
    pub cached_input_tokens: Option<String>,
    /// The pointer to those written into a cache.
    pub cache_write_tokens: Option<String>,
    /// The pointer to those of reasoning.
    pub reasoning_tokens: Option<String>,
    /// Pointers to scalars that the plugin may see.
    pub scalars: Vec<String>,
}

/// A route's rules for answers, ready for use.
pub struct UsageReader {
    root: Node,
    places: usize,
    own: Vec<(Own, usize)>,
    /// The names of the scalars, with their places.
    scalars: Vec<(String, usize)>,
}

/// What a pointer of the route's own is for.
#[derive(Clone, Copy)]
enum Own {
    Model,
    Input,
    Output,
    Cached,
    CacheWrite,
    Reasoning,
}

/// What an answer has said so far.
#[derive(Clone, Debug, Default)]
struct Said {
    counts: Counts,
    model: Option<String>,
    /// What the route's own pointers found, over what the shapes did.
    own: ModelUsage,
}

impl UsageReader {
    /// Reads a route's rules.
    pub fn new(rules: UsageRules) -> Result<Self, PointerError> {
        let mut root = Node::default();
        let mut places = 0;
        let mut want = |pointer: &str| {
            let at = places;
            places += 1;
            root.want(pointer, Want::Scalar(at)).map(|name| (name, at))
        };
        for place in PLACES {
            want(place.pointer)?;
        }
        let UsageRules { model, input_tokens, output_tokens, cached_input_tokens, .. } = &rules;
        let named = [
            (Own::Model, model),
            (Own::Input, input_tokens),
            (Own::Output, output_tokens),
            (Own::Cached, cached_input_tokens),
            (Own::CacheWrite, &rules.cache_write_tokens),
            (Own::Reasoning, &rules.reasoning_tokens),
        ];
        let mut own = Vec::new();
        for (what, pointer) in named {
            if let Some(pointer) = pointer {
                own.push((what, want(pointer)?.1));
            }
        }
        let scalars = rules.scalars.iter().map(|pointer| want(pointer)).collect::<Result<_, _>>()?;
        Ok(Self { root, places, own, scalars })
    }

    /// Reads a whole JSON answer.
    pub fn read(&self, body: &[u8]) -> ModelUsage {
        let mut said = Said::default();
        self.note(body, |place| place.whole, &mut said);
        said.into_usage()
    }

    /// Notes what one JSON text says, over what was said before it, and answers whether it may have a shape that is known. A
    /// text that is no JSON says nothing.
    fn note(&self, text: &[u8], counts_here: impl Fn(&Place) -> bool, said: &mut Said) -> bool {
        let only_shapes = self.own.is_empty() && self.scalars.is_empty();
        let is_marked = memchr::memmem::find(text, MARK).is_some();
        if (only_shapes && !is_marked) || std::str::from_utf8(text).is_err() {
            return is_marked;
        }
        let mut found = Found::of_scalars(self.places);
        let mut scanner = Scanner::new(text);
        let read = self.root.read(&mut scanner, &mut found).and_then(|()| scanner.end());
        if read.is_err() {
            return is_marked;
        }
        let mut values = found.scalars;
        let mut take = |at: usize| values.get_mut(at).and_then(Option::take);
        // The type is the first place: whether an event's others mean anything depends on it.
        let event_type = take(0).and_then(text_of).unwrap_or_default();
        for (at, place) in PLACES.iter().enumerate().skip(1) {
            let value = take(at).filter(|_| counts_here(place) && place.is_in(&event_type));
            said.counts.note(place, value, &mut said.model);
        }
        for (what, at) in &self.own {
            said.own_value(*what, take(*at));
        }
        for (name, at) in &self.scalars {
            if let Some(value) = take(*at) {
                said.own.scalars.insert(name.clone(), value);
            }
        }
        is_marked
    }
}

impl Said {
    fn own_value(&mut self, what: Own, value: Option<Scalar>) {
        let Some(value) = value else { return };
        let own = &mut self.own;
        let place = match what {
            Own::Model => return own.model = text_of(value).or(own.model.take()),
            Own::Input => &mut own.input_tokens,
            Own::Output => &mut own.output_tokens,
            Own::Cached => &mut own.cached_input_tokens,
            Own::CacheWrite => &mut own.cache_write_tokens,
            Own::Reasoning => &mut own.reasoning_tokens,
        };
        *place = count_of(&value).or(*place);
    }

    /// All together: the route's own pointers go before the shapes.
    fn into_usage(self) -> ModelUsage {
        let Self { counts, model, own } = self;
        ModelUsage {
            model: own.model.or(model),
            input_tokens: own.input_tokens.or_else(|| counts.input()),
            output_tokens: own.output_tokens.or_else(|| counts.output()),
            cached_input_tokens: own.cached_input_tokens.or(counts.cached),
            cache_write_tokens: own.cache_write_tokens.or(counts.cache_write),
            reasoning_tokens: own.reasoning_tokens.or(counts.reasoning),
            scalars: own.scalars,
        }
    }
}

fn text_of(value: Scalar) -> Option<String> {
    match value {
        Scalar::Text(text) => Some(text),
        Scalar::Flag(_) | Scalar::Integer(_) => None,
    }
}

/// A count: a whole number of zero or more.
fn count_of(value: &Scalar) -> Option<u64> {
    match value {
        Scalar::Integer(integer) => u64::try_from(*integer).ok(),
        Scalar::Flag(_) | Scalar::Text(_) => None,
    }
}

#[cfg(test)]
mod tests;
