//! The shapes in which model APIs say what they used: where a count stands, and what it means.
//!
//! OpenAI's chat, completions and embeddings: `usage {prompt_tokens, completion_tokens, total_tokens}`, of a stream in its
//! last chunk. OpenAI's responses: `usage {input_tokens, output_tokens}`, of a stream inside the `response` of its last
//! event. Anthropic's messages: the same names, with those of caches beside `input_tokens` and not in it; of a stream the
//! input stands in `message_start` and the output, growing, in each `message_delta`.

use ledger::Scalar;

use super::{count_of, text_of};

/// A place in an answer, or in an event of a stream.
pub(super) struct Place {
    pub(super) pointer: &'static str,
    what: What,
    /// Whether it counts in a whole JSON answer too, and not only in a stream's events.
    pub(super) whole: bool,
    /// What the event's `type` must begin with.
    event: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Type,
    Model,
    Prompt,
    Completion,
    Total,
    Input,
    Output,
    /// Of a part of the input that is counted in it.
    CachedWithin,
    /// Of a part of the input that is counted beside it.
    CachedBeside,
    CacheWriteBeside,
    Reasoning,
}

impl Place {
    const fn new(pointer: &'static str, what: What) -> Self {
        Self { pointer, what, whole: true, event: "" }
    }

    /// One that counts in events whose type begins so.
    const fn in_event(event: &'static str, pointer: &'static str, what: What) -> Self {
        Self { pointer, what, whole: false, event }
    }

    pub(super) fn is_in(&self, event_type: &str) -> bool {
        event_type.starts_with(self.event)
    }
}

/// The type first, then every place of every shape. What `message_start` says of the output is only a beginning.
pub(super) const PLACES: [Place; 22] = [
    Place::new("/type", What::Type),
    Place::new("/model", What::Model),
    Place::new("/usage/prompt_tokens", What::Prompt),
    Place::new("/usage/completion_tokens", What::Completion),
    Place::new("/usage/total_tokens", What::Total),
    Place::new("/usage/prompt_tokens_details/cached_tokens", What::CachedWithin),
    Place::new("/usage/completion_tokens_details/reasoning_tokens", What::Reasoning),
    Place::new("/usage/input_tokens", What::Input),
    Place::new("/usage/output_tokens", What::Output),
    Place::new("/usage/input_tokens_details/cached_tokens", What::CachedWithin),
    Place::new("/usage/output_tokens_details/reasoning_tokens", What::Reasoning),
    Place::new("/usage/cache_read_input_tokens", What::CachedBeside),
    Place::new("/usage/cache_creation_input_tokens", What::CacheWriteBeside),
    Place::in_event("response.", "/response/model", What::Model),
    Place::in_event("response.", "/response/usage/input_tokens", What::Input),
    Place::in_event("response.", "/response/usage/output_tokens", What::Output),
    Place::in_event("response.", "/response/usage/input_tokens_details/cached_tokens", What::CachedWithin),
    Place::in_event("response.", "/response/usage/output_tokens_details/reasoning_tokens", What::Reasoning),
    Place::in_event("message_start", "/message/model", What::Model),
    Place::in_event("message_start", "/message/usage/input_tokens", What::Input),
    Place::in_event("message_start", "/message/usage/cache_read_input_tokens", What::CachedBeside),
    Place::in_event("message_start", "/message/usage/cache_creation_input_tokens", What::CacheWriteBeside),
];

/// The counts as the answer has them, each as it stood last.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    cached_beside: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) reasoning: Option<u64>,
}

impl Counts {
    /// Notes a value. One that is no count leaves what was there.
    pub(super) fn note(&mut self, place: &Place, value: Option<Scalar>, model: &mut Option<String>) {
        let Some(value) = value else { return };
        if place.what == What::Model {
            return *model = text_of(value).or(model.take());
        }
        let Some(count) = count_of(&value) else { return };
        let slot = match place.what {
            What::Type | What::Model => return,
            What::Prompt => &mut self.prompt,
            What::Completion => &mut self.completion,
            What::Total => &mut self.total,
            What::Input => &mut self.input,
            What::Output => &mut self.output,
            What::CachedWithin => &mut self.cached,
            What::CachedBeside => {
                self.cached = Some(count);
                &mut self.cached_beside
            }
            What::CacheWriteBeside => &mut self.cache_write,
            What::Reasoning => &mut self.reasoning,
        };
        *slot = Some(count);
    }

    /// Tokens read, those of caches included.
    pub(super) fn input(&self) -> Option<u64> {
        let beside = [self.cached_beside, self.cache_write];
        let with_caches = |input: u64| beside.iter().flatten().try_fold(input, |sum, count| sum.checked_add(*count));
        self.prompt.or_else(|| self.input.and_then(with_caches))
    }

    /// Tokens written. An answer that has a total and no output of its own, as of embeddings, wrote the rest.
    pub(super) fn output(&self) -> Option<u64> {
        let rest = || self.total?.checked_sub(self.prompt?);
        self.completion.or(self.output).or_else(rest)
    }
}
