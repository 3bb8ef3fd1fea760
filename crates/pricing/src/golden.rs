//! Golden cases: what a plugin must answer, call by call, in a file beside it that reads as a price list.
//!
//! `NAME.cases.toml` belongs to `NAME.wasm`. A plugin that answers one of its own cases otherwise is never loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ledger::{Clamp, Credits, EventDefinition, ModelUsage, PlanName, Scalar, Signals, Thousandths};
use serde::Deserialize;

use crate::error::PricingError;
use crate::plugin::{Call, CallOutcome, Plugin, Quote};

/// Bytes of a file of cases.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Differences that are told of one plugin; more do not help anybody.
pub(crate) const DIFFERENCES_MAX: usize = 20;

/// The cases of a plugin, by event type.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Cases(BTreeMap<String, Priced>);

/// An event type, and what calls of it cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Priced {
    base: Amount,
    /// In thousandths; without it, complexity does not apply.
    clamp: Option<(u32, u32)>,
    #[serde(default)]
    add_ons: BTreeMap<String, Amount>,
    calls: Vec<Case>,
}

/// One call. Either it costs `credits`, or it is `declined`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    text: u64,
    #[serde(default)]
    items_of_text: u64,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    scalars: BTreeMap<String, Scalar>,
    #[serde(default)]
    body_bytes: u64,
    plan: Option<PlanName>,
    credits: Option<Amount>,
    declined: Option<String>,
    /// The whole charge, line by line: `base 10, echo 5`.
    items: Option<String>,
    settled: Option<Settled>,
}

/// How the call of a case ended, and what it did cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settled {
    #[serde(default = "success")]
    status: u16,
    #[serde(default)]
    response_bytes: u64,
    #[serde(default = "yes")]
    complete: bool,
    model: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_input_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    /// Scalars of the answer.
    #[serde(default)]
    scalars: BTreeMap<String, Scalar>,
    credits: Amount,
    items: Option<String>,
    /// Whether the quote must stand as an estimate.
    #[serde(default)]
    estimated: bool,
}

fn success() -> u16 {
    200
}

fn yes() -> bool {
    true
}

/// Credits as a whole number, or as a decimal in quotes: a TOML float would not be exact.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Written")]
struct Amount(Credits);

#[derive(Deserialize)]
#[serde(untagged, expecting = "credits are a whole number, or a decimal in quotes such as \"1.25\"")]
enum Written {
    Whole(i64),
    Decimal(String),
}

impl TryFrom<Written> for Amount {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Whole(whole) => Credits::from_whole(whole).ok_or_else(|| format!("{whole} credits are too many")),
            Written::Decimal(text) => text.parse().map_err(|error| format!("{text} is no amount: {error}")),
        }
        .map(Self)
    }
}

/// A case that the plugin answers otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The event type and the call.
    pub case: String,
    /// What the case says.
    pub wanted: String,
    /// What the plugin says.
    pub answered: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: wanted {}, answered {}", self.case, self.wanted, self.answered)
    }
}

impl Cases {
    /// The file of cases that belongs to a plugin's file.
    pub fn path_for(plugin: &Path) -> PathBuf {
        plugin.with_extension("cases.toml")
    }

    /// Reads cases. The error says where the file is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let cases: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let calls =
            cases.0.iter().flat_map(|(event_type, priced)| priced.calls.iter().map(move |case| (event_type, case)));
        for (event_type, case) in calls {
            if case.credits.is_some() == case.declined.is_some() {
                return Err(format!("{}: give either credits or declined", case.name(event_type)));
            }
        }
        if cases.count() == 0 {
            return Err("there is no call in it".to_owned());
        }
        Ok(cases)
    }

    /// The cases beside a plugin's file; `None` where it has none.
    pub fn beside(plugin: &Path) -> Result<Option<Self>, String> {
        read(&Self::path_for(plugin))?.map(|text| Self::parse(&text)).transpose()
    }

    /// How many calls there are.
    pub fn count(&self) -> usize {
        self.0.values().map(|priced| priced.calls.len()).sum()
    }

    /// The cases that the plugin answers otherwise, the first of them.
    pub fn differences(&self, plugin: &Plugin) -> Vec<Difference> {
        let all = self.0.iter().flat_map(|(event_type, priced)| {
            let definition = priced.definition(event_type);
            priced.calls.iter().flat_map(move |case| {
                let name = || case.name(event_type);
                match &definition {
                    Ok(definition) => case.differences(plugin, definition),
                    Err(why) => vec![("a definition".to_owned(), why.clone())],
                }
                .into_iter()
                .map(move |(wanted, answered)| Difference { case: name(), wanted, answered })
            })
        });
        all.take(DIFFERENCES_MAX).collect()
    }

    /// The calls that two plugins price unlike, the first of them: what is wanted is what `one` answers.
    pub fn between(&self, one: &Plugin, other: &Plugin) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (event_type, priced) in &self.0 {
            let Ok(definition) = priced.definition(event_type) else { continue };
            for case in &priced.calls {
                let [wanted, answered] = [one, other].map(|plugin| case.answer(plugin, &definition));
                if wanted != answered {
                    differences.push(Difference { case: case.name(event_type), wanted, answered });
                }
            }
        }
        differences.truncate(DIFFERENCES_MAX);
        differences
    }
}

/// Reads cases that came by themselves, bounded like a file.
pub(crate) fn parse_bounded(text: &str) -> Result<Cases, String> {
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if bytes > FILE_BYTES_MAX {
        Err(format!("{bytes} bytes; allowed are {FILE_BYTES_MAX}"))
    } else {
        Cases::parse(text)
    }
}

/// The text of a file of cases; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(format!("{}: {} bytes; allowed are {FILE_BYTES_MAX}", path.display(), metadata.len()));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(failed)
}

impl Priced {
    fn definition(&self, event_type: &str) -> Result<EventDefinition, String> {
        Ok(EventDefinition {
            event_type: event_type.parse().map_err(|error| format!("{event_type}: {error}"))?,
            name: event_type.to_owned(),
            category: "golden".to_owned(),
            base_credits: self.base.0,
            complexity: self.clamp.map(|(min, max)| Clamp { min: Thousandths(min), max: Thousandths(max) }),
            features: self.add_ons.iter().map(|(flag, amount)| (flag.clone(), amount.0)).collect(),
            version: 1,
        })
    }
}

impl Case {
    fn name(&self, event_type: &str) -> String {
        let mut parts = vec![format!("{event_type}: text {}", self.text)];
        if !self.flags.is_empty() {
            parts.push(format!("flags {}", self.flags.join(" ")));
        }
        parts.extend(self.scalars.iter().map(|(scalar, value)| format!("{scalar} {value:?}")));
        parts.join(", ")
    }

    /// What a plugin answers: the quote, and how it settles where the case says how the call ended.
    fn answer(&self, plugin: &Plugin, definition: &EventDefinition) -> String {
        let signals = self.signals();
        let Ok(free) = "free".parse() else { return String::new() };
        let call = Call { definition, plan: self.plan.as_ref().unwrap_or(&free), signals: &signals };
        let quoted = plugin.quote(&call);
        let settled = match (&self.settled, &quoted) {
            (Some(settled), Ok(quote)) => plugin.settle(&call, quote, &settled.outcome(&call)).map(Some),
            _ => Ok(None),
        };
        match settled {
            Ok(None) => said(&quoted),
            Ok(Some(settled)) => format!("{}, settled at {}", said(&quoted), said(&Ok(settled.quote))),
            Err(error) => format!("{}, settled not: {error}", said(&quoted)),
        }
    }

    fn signals(&self) -> Signals {
        Signals {
            text_units: self.text,
            item_count: self.items_of_text,
            flags: self.flags.clone(),
            scalars: self.scalars.clone(),
            body_bytes: self.body_bytes,
        }
    }

    /// Each as what is wanted and what was answered.
    fn differences(&self, plugin: &Plugin, definition: &EventDefinition) -> Vec<(String, String)> {
        let signals = self.signals();
        let Ok(free) = "free".parse() else { return Vec::new() };
        let call = Call { definition, plan: self.plan.as_ref().unwrap_or(&free), signals: &signals };
        let quoted = plugin.quote(&call);
        let mut differences = Vec::new();
        match (&self.declined, &quoted) {
            (Some(wanted), Err(PricingError::Refused(why))) if wanted == why => {}
            (Some(wanted), _) => differences.push((format!("declined: {wanted}"), said(&quoted))),
            (None, _) => {
                differences.extend(self.credits.and_then(|credits| differs(credits, self.items.as_deref(), &quoted)));
            }
        }
        if let (Some(settled), Ok(quote)) = (&self.settled, &quoted) {
            differences.extend(settled.difference(plugin, &call, quote));
        }
        differences
    }
}

impl Settled {
    fn outcome(&self, call: &Call<'_>) -> CallOutcome {
        CallOutcome {
            status: self.status,
            request_bytes: call.signals.body_bytes,
            response_bytes: self.response_bytes,
            complete: self.complete,
            usage: ModelUsage {
                model: self.model.clone(),
                input_tokens: self.input_tokens,
                output_tokens: self.output_tokens,
                cached_input_tokens: self.cached_input_tokens,
                cache_write_tokens: self.cache_write_tokens,
                reasoning_tokens: self.reasoning_tokens,
                scalars: self.scalars.clone(),
            },
        }
    }

    fn difference(&self, plugin: &Plugin, call: &Call<'_>, quote: &Quote) -> Option<(String, String)> {
        let outcome = self.outcome(call);
        let settled = plugin.settle(call, quote, &outcome);
        let estimated = settled.as_ref().is_ok_and(|settled| settled.estimated);
        let answered = settled.map(|settled| settled.quote);
        let basis = |estimated: bool| if estimated { "estimated" } else { "settled" };
        if let Some((wanted, answered)) = differs(self.credits, self.items.as_deref(), &answered) {
            return Some((format!("{} at {wanted}", basis(self.estimated)), answered));
        }
        (estimated != self.estimated).then(|| (basis(self.estimated).to_owned(), basis(estimated).to_owned()))
    }
}

/// What differs between a case and an answer, if anything.
fn differs(credits: Amount, items: Option<&str>, answered: &Result<Quote, PricingError>) -> Option<(String, String)> {
    let same = answered
        .as_ref()
        .is_ok_and(|quote| quote.credits == credits.0 && items.is_none_or(|items| lines(quote) == items));
    let wanted = || items.map_or_else(|| credits.0.to_string(), |items| format!("{} ({items})", credits.0));
    (!same).then(|| (wanted(), said(answered)))
}

fn said(answered: &Result<Quote, PricingError>) -> String {
    match answered {
        Ok(quote) => format!("{} ({})", quote.credits, lines(quote)),
        Err(error) => error.to_string(),
    }
}

fn lines(quote: &Quote) -> String {
    quote.items.iter().map(|item| format!("{} {}", item.label, item.credits)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
