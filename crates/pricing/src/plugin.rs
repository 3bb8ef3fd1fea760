//! One plugin, compiled: asked for a price in a fresh instance each time.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ledger::{
    ChargeItem, Credits, EventDefinition, EventType, Hexadecimal, ModelUsage, PlanName, PluginFile, PluginIdentity,
    Signals,
};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Store, Trap};

use crate::answer;
use crate::contract::{Contract, Instance, wit};
use crate::engine::{self, Engines, Exceeded, Limits};
use crate::error::{LoadError, PricingError};
use crate::golden::Cases;
use crate::load;
use crate::options::Options;
use crate::watch::Landed;

/// A call to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The kind of call.
    pub definition: &'a EventDefinition,
    /// The organisation's plan.
    pub plan: &'a PlanName,
    /// What is known of the request.
    pub signals: &'a Signals,
}

/// A price: its items add up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The total, between zero and the cap.
    pub credits: Credits,
    /// What it is for.
    pub items: Vec<ChargeItem>,
}

/// How a call ended at the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOutcome {
    /// The backend's status; 0 where it gave none.
    pub status: u16,
    /// Length of the request's body in bytes.
    pub request_bytes: u64,
    /// Length of the answer's body in bytes.
    pub response_bytes: u64,
    /// Whether the answer came whole.
    pub complete: bool,
    /// What the answer says of the work.
    pub usage: ModelUsage,
}

/// What a call did cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The charge.
    pub quote: Quote,
    /// Whether that is what was quoted, because what the backend did is not known well enough.
    pub estimated: bool,
}

/// A plugin that is ready to price.
pub struct Plugin {
    identity: Arc<PluginIdentity>,
    event_types: HashSet<String>,
    settles_by: wit::Basis,
    bytes: u64,
    engine: Engine,
    component: Contract,
    options: Options,
}

impl Plugin {
    /// Loads the file at `options.path`: reads, checks its signature, compiles aside, tries, its golden cases included.
    pub fn load(options: &Options) -> Result<Self, LoadError> {
        let Landed { plugin, cases, signature } = Landed::read(options)?;
        let engines = Engines::new(options).map_err(LoadError::Host)?;
        load::prepare(PluginFile { content: plugin, cases, signature }, &engines, options)
    }

    /// Loads it without its golden cases: for whoever wants to see all that differs.
    pub fn load_untested(options: &Options) -> Result<Self, LoadError> {
        let bytes = read(&options.path, options.file_bytes_max)?;
        let engines = Engines::new(options).map_err(LoadError::Host)?;
        Self::from_bytes(bytes, &engines, options)
    }

    /// Refuses a plugin that answers a golden case otherwise.
    pub(crate) fn must_pass(&self, cases: Option<&Cases>) -> Result<(), LoadError> {
        let first = cases.and_then(|cases| cases.differences(self).into_iter().next());
        first.map_or(Ok(()), |difference| Err(LoadError::Golden(difference.to_string())))
    }

    /// Loads a component from its bytes.
    pub(crate) fn from_bytes(bytes: Vec<u8>, engines: &Engines, options: &Options) -> Result<Self, LoadError> {
        let (length, sha256) = (u64::try_from(bytes.len()).unwrap_or(u64::MAX), sha256(&bytes));
        let engine = engines.of(length).map_err(LoadError::Host)?;
        let component = compile(bytes, &engine, engines, options.compile_time_max)?;
        let identity = PluginIdentity { name: String::new(), version: String::new(), sha256 };
        let mut plugin = Self {
            identity: Arc::new(identity),
            event_types: HashSet::new(),
            settles_by: wit::Basis::Outcome,
            bytes: length,
            engine,
            component,
            options: options.clone(),
        };
        plugin.introduce()?;
        plugin.trial()?;
        Ok(plugin)
    }

    /// Name, version and hash.
    pub fn identity(&self) -> &Arc<PluginIdentity> {
        &self.identity
    }

    /// The file's length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The event types that it names, sorted; none means all that have a definition.
    pub fn event_types(&self) -> Vec<&str> {
        let mut named: Vec<&str> = self.event_types.iter().map(String::as_str).collect();
        named.sort_unstable();
        named
    }

    /// Whether it prices an event type.
    pub fn prices(&self, event_type: &EventType) -> bool {
        self.event_types.is_empty() || self.event_types.contains(event_type.as_str())
    }

    /// Whether a call that succeeds costs exactly its quote, so that [`Plugin::settle`] need not be asked.
    pub fn settles_at_quote(&self) -> bool {
        matches!(self.settles_by, wit::Basis::Quote)
    }

    /// By what a success is settled, in words.
    pub fn settlement(&self) -> &'static str {
        match self.settles_by {
            wit::Basis::Quote => "a success costs its quote",
            wit::Basis::Outcome => "a success is settled by the plugin",
            wit::Basis::Usage => "a success is settled by the tokens that its backend counted",
        }
    }

    /// What the component exports.
    pub fn exports(&self) -> Vec<&'static str> {
        vec![self.component.export()]
    }

    /// The version of the contract that it was built for.
    pub fn contract(&self) -> &'static str {
        self.component.version()
    }

    /// The most that a call can cost.
    pub fn quote(&self, call: &Call<'_>) -> Result<Quote, PricingError> {
        if !self.prices(&call.definition.event_type) {
            return Err(PricingError::NotPriced);
        }
        let answered = self.run(|store, plugin| plugin.quote(store, call))?;
        let price = answered.map_err(answer::refusal)?;
        answer::price(price, self.options.credits_per_call_max, &self.options)
    }

    /// What a call did cost: at most its quote. The plugin is asked only where its basis says so; what is not known well
    /// enough leaves the quote standing, as an estimate.
    pub fn settle(&self, call: &Call<'_>, quote: &Quote, outcome: &CallOutcome) -> Result<Settled, PricingError> {
        let standing = |estimated| Settled { quote: quote.clone(), estimated };
        match self.settles_by {
            wit::Basis::Quote => return Ok(standing(false)),
            wit::Basis::Usage if !outcome.usage.counts_tokens() => return Ok(standing(true)),
            wit::Basis::Usage | wit::Basis::Outcome => {}
        }
        let settled = self.run(|store, plugin| plugin.settle(store, call, quote, outcome))?;
        match settled.map_err(answer::refusal)? {
            wit::Settlement::Unknown => Ok(standing(true)),
            wit::Settlement::Charge(price) => {
                let quote = answer::price(price, quote.credits, &self.options)?;
                Ok(Settled { quote, estimated: false })
            }
        }
    }

    /// Asks the plugin what it is.
    fn introduce(&mut self) -> Result<(), LoadError> {
        let said = self.run(|store, plugin| plugin.describe(store))?;
        if !answer::is_label(&said.name) || !answer::is_label(&said.version) {
            return Err(LoadError::Description("name and version are 1 to 64 bytes without control characters"));
        }
        if said.event_types.iter().any(|event_type| event_type.parse::<EventType>().is_err()) {
            return Err(LoadError::Description("an event type is 1 to 128 bytes without control characters"));
        }
        let sha256 = self.identity.sha256.clone();
        self.identity = Arc::new(PluginIdentity { name: said.name, version: said.version, sha256 });
        self.event_types = said.event_types.into_iter().collect();
        self.settles_by = said.settles_by;
        Ok(())
    }

    /// Prices one plain call and settles it, so that a plugin which cannot price at all never becomes active. A refusal
    /// is an answer.
    fn trial(&self) -> Result<(), LoadError> {
        let event_type = self.event_types().first().copied().unwrap_or("trial").to_owned();
        let (Ok(event_type), Ok(plan)) = (event_type.parse(), "free".parse()) else { return Ok(()) };
        let definition = EventDefinition {
            event_type,
            name: "Trial".to_owned(),
            category: "trial".to_owned(),
            base_credits: Credits::from_micros(Credits::MICROS_PER_CREDIT),
            complexity: None,
            features: std::collections::BTreeMap::new(),
            version: 1,
        };
        let call = Call { definition: &definition, plan: &plan, signals: &Signals::default() };
        let usage = ModelUsage { input_tokens: Some(1), output_tokens: Some(1), ..ModelUsage::default() };
        let outcome = CallOutcome { status: 200, complete: true, usage, ..CallOutcome::default() };
        let tried = self.quote(&call).and_then(|quote| self.settle(&call, &quote, &outcome));
        match tried {
            Ok(_) | Err(PricingError::Refused(_) | PricingError::Misconfigured(_)) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Runs one call in a fresh instance, which is gone afterwards whatever happened.
    fn run<T>(
        &self,
        call: impl FnOnce(&mut Store<Limits>, &Instance) -> wasmtime::Result<T>,
    ) -> Result<T, PricingError> {
        let mut store = Store::new(&self.engine, Limits::new(&self.options));
        store.limiter(|limits| limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(engine::deadline(self.options.time_max));
        store.set_hostcall_fuel(self.options.output_bytes_max);
        let instance = match self.component.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(error) => {
                return Err(match fault(&error, store.data().exceeded, PricingError::Host) {
                    PricingError::TimeLimit => PricingError::SlowStart,
                    other => other,
                });
            }
        };
        // What is no trap, once the instance is there, is an answer that cannot be read.
        call(&mut store, &instance).map_err(|error| fault(&error, store.data().exceeded, PricingError::Malformed))
    }
}

/// Names what went wrong in an instance.
fn fault(error: &wasmtime::Error, exceeded: Option<Exceeded>, no_trap: fn(String) -> PricingError) -> PricingError {
    match exceeded {
        Some(Exceeded::Memory) => return PricingError::MemoryLimit,
        Some(Exceeded::Table) => return PricingError::TableLimit,
        None => {}
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => PricingError::TimeLimit,
        Some(Trap::StackOverflow) => PricingError::StackOverflow,
        Some(_) => PricingError::Trap,
        None => {
            let text = format!("{error:#}");
            // The host's own type for this is private; its text is pinned by a test with the faulty plugin.
            if text.contains("fuel") { PricingError::OutputLimit } else { no_trap(text) }
        }
    }
}

/// Reads a plugin's file, bounded.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, LoadError> {
    let metadata = std::fs::metadata(path).map_err(LoadError::Unreadable)?;
    if !metadata.is_file() {
        return Err(LoadError::Unreadable(std::io::Error::other("it is no file")));
    }
    let too_large = |bytes| LoadError::TooLarge { bytes, bytes_max };
    if metadata.len() > bytes_max {
        return Err(too_large(metadata.len()));
    }
    // It may grow while it is read.
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(LoadError::Unreadable)?;
    let length = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(LoadError::Unreadable)?;
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    if length > bytes_max { Err(too_large(length)) } else { Ok(bytes) }
}

/// The file's hash, in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Hexadecimal(&Sha256::digest(bytes)).to_string()
}

/// Compiles in a thread of its own, so that it can be given up. That thread ends when it can, and there are few of them.
fn compile(bytes: Vec<u8>, engine: &Engine, engines: &Engines, time_max: Duration) -> Result<Contract, LoadError> {
    let place = engines.compiling().ok_or(LoadError::CompilersBusy(engine::COMPILING_MAX))?;
    let (done, wait) = mpsc::channel();
    let engine = engine.clone();
    let compiler = std::thread::Builder::new().name("pricing-compiler".to_owned());
    let started = compiler.spawn(move || {
        // The receiver may have given up; then nobody wants the result.
        let linked = link(&bytes, &engine);
        drop(place);
        drop(done.send(linked));
    });
    started.map_err(|error| LoadError::Host(error.to_string()))?;
    match wait.recv_timeout(time_max) {
        Ok(linked) => linked,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(LoadError::CompileTime(time_max.as_millis())),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(LoadError::NotAComponent("the compiler gave up".to_owned())),
    }
}

fn link(bytes: &[u8], engine: &Engine) -> Result<Contract, LoadError> {
    let component = Component::from_binary(engine, bytes).map_err(|error| {
        let line = first_line(&error);
        // The pool's own type for this is private; its texts are pinned by a test.
        if line.contains("exceeds the") { LoadError::OverLimit(line) } else { LoadError::NotAComponent(line) }
    })?;
    if let Some((name, _)) = component.component_type().imports(engine).next() {
        return Err(LoadError::Imports(name.to_owned()));
    }
    Contract::link(&component, engine).map_err(|error| LoadError::Exports(first_line(&error)))
}

fn first_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests;
