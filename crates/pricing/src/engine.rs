//! wasmtime, narrowed to what a plugin needs: a memory limit, a time limit, a stack limit, and instances that are cheap to
//! make. A small plugin's come from a pool, and its few pages are copied. One that carries the interpreter of its language
//! has megabytes of them, of which a call touches little: they are mapped, and copied where they are written to.
//!
//! Measured with `benches/quote.rs` on two cores: a quote of the standard plugin in a fresh instance takes 6.2 µs, beside
//! another thread that does the same 7.1 µs. What other languages cost is in `pricing-plugins/README.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, StoreContextMut,
    UpdateDeadline,
};

use crate::options::Options;

/// Instances at once. Calls are synchronous, so there are never more than threads that make them.
const INSTANCES_MAX: u32 = 128;
/// Files that are compiled at once. One that takes too long is given up, but its thread ends only when it can.
pub(crate) const COMPILING_MAX: usize = 4;
/// Core modules and tables of one pooled component; what the usual toolchains make has one to three.
const PARTS_MAX: u32 = 8;
/// Core modules, memories and tables of any component: Python's has some forty.
const LARGE_PARTS_MAX: usize = 128;
/// A component over so many bytes carries an interpreter: JavaScript has 12 MB, Python 18 MB, a Rust plugin 20 KiB.
const SMALL_BYTES_MAX: u64 = 512 << 10;
/// Memory that a pooled slot keeps between calls instead of giving it back to the system: what the standard plugin
/// touches. It spares most of the system calls of a fresh instance.
const KEPT_BYTES: usize = 64 << 10;

/// The engines: one for small plugins, and one for large ones, which is made when the first of them comes.
pub(crate) struct Engines {
    small: Engine,
    large: Mutex<Option<Engine>>,
    options: Options,
    /// Files that are being compiled, those that took too long included.
    compiling: Arc<AtomicUsize>,
}

impl Engines {
    pub(crate) fn new(options: &Options) -> Result<Self, String> {
        let small = ticking(&pooled(options))?;
        Ok(Self { small, large: Mutex::new(None), options: options.clone(), compiling: Arc::default() })
    }

    /// The engine for a component of so many bytes.
    pub(crate) fn of(&self, bytes: u64) -> Result<Engine, String> {
        if bytes <= SMALL_BYTES_MAX {
            return Ok(self.small.clone());
        }
        let mut large = self.large.lock();
        if let Some(engine) = &*large {
            return Ok(engine.clone());
        }
        Ok(large.insert(ticking(&mapped(&self.options))?).clone())
    }

    /// A place among those that compile; `None` where all are taken.
    pub(crate) fn compiling(&self) -> Option<Compiling> {
        let before = self.compiling.fetch_add(1, Ordering::Relaxed);
        let place = Compiling(Arc::clone(&self.compiling));
        (before < COMPILING_MAX).then_some(place)
    }
}

/// A place among those that compile, given back when it is dropped.
pub(crate) struct Compiling(Arc<AtomicUsize>);

impl Drop for Compiling {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What every engine has.
fn usual(options: &Options) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // The same input has the same price on every machine: what WebAssembly leaves open is settled.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .epoch_interruption(true)
        .max_wasm_stack(options.stack_bytes_max)
        .wasm_backtrace_max_frames(None);
    config
}

/// Each instance maps its memory, and takes only the pages that it writes to. What it may have, [`Limits`] says.
fn mapped(options: &Options) -> Config {
    let mut config = usual(options);
    config.memory_init_cow(true).allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
}

/// Instances come from a pool.
fn pooled(options: &Options) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(INSTANCES_MAX * 2)
        .total_memories(INSTANCES_MAX)
        .total_tables(INSTANCES_MAX * 2)
        .max_core_instances_per_component(PARTS_MAX)
        .max_memories_per_component(1)
        .max_tables_per_component(PARTS_MAX)
        .table_elements(options.table_elements_max)
        .max_memory_size(options.memory_bytes_max)
        .linear_memory_keep_resident(KEPT_BYTES)
        .table_keep_resident(KEPT_BYTES / 8)
        .max_unused_warm_slots(4);
    let mut config = usual(options);
    config
        .memory_reservation(u64::try_from(options.memory_bytes_max).unwrap_or(u64::MAX))
        .memory_guard_size(0)
        .memory_init_cow(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// An engine whose clock ticks for as long as it lives.
fn ticking(config: &Config) -> Result<Engine, String> {
    let engine = Engine::new(config).map_err(|error| format!("{error:#}"))?;
    tick(&engine)?;
    Ok(engine)
}

/// Asked at every epoch of a call: stops it once its thread has run for `time_max` since the first one. The time of the
/// thread counts, not the clock on the wall, which goes on while a busy machine lets the thread wait.
pub(crate) fn deadline(
    time_max: Duration,
) -> impl FnMut(StoreContextMut<'_, Limits>) -> wasmtime::Result<UpdateDeadline> + Send + Sync + 'static {
    let mut since = None;
    move |_| {
        let now = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?;
        let ran = now.saturating_sub(*since.get_or_insert(now));
        Ok(if ran < time_max { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
    }
}

/// The engine's clock: a thread that ends with the engine.
fn tick(engine: &Engine) -> Result<(), String> {
    let engine = engine.weak();
    let ticker = std::thread::Builder::new().name("pricing-clock".to_owned());
    let ticking = ticker.spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(Options::EPOCH);
        }
    });
    ticking.map(drop).map_err(|error| error.to_string())
}

/// What one instance may have, all its memories and all its tables together, and what it asked for beyond.
pub(crate) struct Limits {
    memory_bytes_left: usize,
    table_elements_left: usize,
    pub(crate) exceeded: Option<Exceeded>,
}

/// A limit that an instance met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Memory,
    Table,
}

impl Limits {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            memory_bytes_left: options.memory_bytes_max,
            table_elements_left: options.table_elements_max,
            exceeded: None,
        }
    }

    fn grow(&mut self, of: Exceeded, now: usize, desired: usize) -> wasmtime::Result<bool> {
        let left = match of {
            Exceeded::Memory => &mut self.memory_bytes_left,
            Exceeded::Table => &mut self.table_elements_left,
        };
        if let Some(rest) = left.checked_sub(desired.saturating_sub(now)) {
            *left = rest;
            return Ok(true);
        }
        self.exceeded = Some(of);
        wasmtime::bail!("a limit of the instance is reached")
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, now: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(Exceeded::Memory, now, desired)
    }

    fn table_growing(&mut self, now: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(Exceeded::Table, now, desired)
    }

    fn instances(&self) -> usize {
        LARGE_PARTS_MAX
    }

    fn memories(&self) -> usize {
        LARGE_PARTS_MAX
    }

    fn tables(&self) -> usize {
        LARGE_PARTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_as_may_be_are_compiled_at_once_and_no_more() {
        let engines = Engines::new(&Options::new("-")).unwrap();
        let places: Vec<Compiling> = (0..COMPILING_MAX).map(|_| engines.compiling().unwrap()).collect();
        assert!(engines.compiling().is_none() && engines.compiling().is_none());
        drop(places);
        assert!(engines.compiling().is_some());
    }
}
