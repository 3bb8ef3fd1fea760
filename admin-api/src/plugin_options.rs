//! From `[pricing]` to what plugins are loaded with: the same for the gateway, its command line and the API alone.

use anyhow::Context as _;
use ledger::Credits;
use settings::Pricing;

/// The plugin and what it may use.
pub fn pricing_options(pricing: &Pricing) -> anyhow::Result<pricing::Options> {
    let keys = pricing.signing_keys.iter().enumerate().map(|(place, key)| {
        key.parse().map_err(|allowed| anyhow::anyhow!("pricing.signing_keys[{place}]: is no key; allowed: {allowed}"))
    });
    Ok(pricing::Options {
        memory_bytes_max: usize::try_from(pricing.max_memory)?,
        table_elements_max: usize::try_from(pricing.max_table_elements)?,
        time_max: pricing.max_time,
        compile_time_max: pricing.max_compile_time,
        credits_per_call_max: Credits::from_whole(i64::try_from(pricing.max_credits_per_call)?)
            .context("pricing.max_credits_per_call")?,
        signing_keys: keys.collect::<anyhow::Result<_>>()?,
        canary_faults_max: u16::try_from(pricing.canary_max_faults)?,
        canary_calls_min: pricing.canary_min_calls,
        shadow_queue_max: usize::try_from(pricing.shadow_queue)?,
        ..pricing::Options::new(&pricing.plugin)
    })
}
