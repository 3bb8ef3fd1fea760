//! wasmtime, narrowed to what a plugin needs: pooled instances, a memory limit, a time limit, a stack limit.
//!
//! Measured with `benches/quote.rs` on two cores: a quote of the standard plugin in a fresh instance takes 6.2 µs, beside
//! another thread that does the same 7.1 µs.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, StoreContextMut,
    UpdateDeadline,
};

use crate::options::Options;

/// Instances at once. Calls are synchronous, so there are never more than threads that make them.
const INSTANCES_MAX: u32 = 128;
/// Core modules, memories and tables of one component; what the usual toolchains make has one to three.
const PARTS_MAX: u32 = 8;
/// Memory that a pooled slot keeps between calls instead of giving it back to the system: what the standard plugin
/// touches. It spares most of the system calls of a fresh instance.
const KEPT_BYTES: usize = 64 << 10;

/// Makes an engine whose clock ticks for as long as it lives.
pub(crate) fn new(options: &Options) -> Result<Engine, String> {
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
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // The same input has the same price on every machine: what WebAssembly leaves open is settled.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .epoch_interruption(true)
        .max_wasm_stack(options.stack_bytes_max)
        .memory_reservation(u64::try_from(options.memory_bytes_max).unwrap_or(u64::MAX))
        .memory_guard_size(0)
        .memory_init_cow(false)
        .wasm_backtrace_max_frames(None)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
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

/// What one instance may have, and whether it asked for more.
pub(crate) struct Limits {
    memory_bytes_max: usize,
    table_elements_max: usize,
    pub(crate) exceeded: bool,
}

impl Limits {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            memory_bytes_max: options.memory_bytes_max,
            table_elements_max: options.table_elements_max,
            exceeded: false,
        }
    }

    fn allow(&mut self, desired: usize, max: usize) -> wasmtime::Result<bool> {
        if desired <= max {
            return Ok(true);
        }
        self.exceeded = true;
        wasmtime::bail!("a limit of the instance is reached")
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _now: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        self.allow(desired, self.memory_bytes_max)
    }

    fn table_growing(&mut self, _now: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        self.allow(desired, self.table_elements_max)
    }
}
