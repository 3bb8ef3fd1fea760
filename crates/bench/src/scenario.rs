//! What is measured: the scenarios in their order, each server in turn within each round, medians over the rounds.

use std::time::Duration;

use crate::load::{self, Load, Outcome, Pace, Requests, Until};
use crate::process::Server;
use crate::report::{self, Figures, Table};
use crate::world::World;
use crate::{Plan, Scenario};

/// How many organisations call where memory is not the question.
const FEW_ORGANIZATIONS: usize = 100;
/// How long each server is warmed up before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// The steady rate of the second scenario, in calls a second.
const STEADY_RATE: u64 = 1_000;

/// Measures everything and prints it.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<()> {
    let world = World::start(plan)?;
    let few = world.organizations(FEW_ORGANIZATIONS).await?;
    world.check(&few).await?;
    let until = Until::Elapsed(Duration::from_secs(plan.seconds));

    let closed = Load { connections: 32, pace: Pace::Closed, until };
    let open = Load { connections: 64, pace: Pace::Open(STEADY_RATE), until };
    let full = Load { connections: 256, pace: Pace::Closed, until };
    if let Some(only) = plan.only {
        let (load, requests) = match only {
            Scenario::Throughput => (closed, few),
            Scenario::Steady => (open, few),
            Scenario::Crowd => (full, everybody_calls(&world, plan.organizations).await?),
        };
        report::table("one scenario alone", &measure(plan, &world, &requests, load).await?);
        return Ok(());
    }
    let throughput = measure(plan, &world, &few, closed).await?;
    report::table("32 connections, as fast as the answers come", &throughput);
    let steady = measure(plan, &world, &few, open).await?;
    report::table(&format!("{STEADY_RATE} calls a second"), &steady);
    let many = everybody_calls(&world, plan.organizations).await?;
    let crowd = measure(plan, &world, &many, full).await?;
    report::table(&format!("256 connections, {} organisations", plan.organizations), &crowd);
    report::targets(&throughput, &steady, &crowd);
    if plan.soak > 0 {
        soak(&world, &many, plan.soak).await?;
    }
    Ok(())
}

/// Makes organisations, and has each call once: then the gateway knows it.
async fn everybody_calls(world: &World, count: usize) -> anyhow::Result<Requests> {
    let requests = world.organizations(count).await?;
    let until = Until::Calls(u64::try_from(count)?);
    load::run(world.gateway.address, &requests, Load { connections: 256, pace: Pace::Closed, until }).await?;
    Ok(requests)
}

/// Gives each server its turn, round after round, so that a bad moment of the machine hits them alike.
async fn measure(plan: &Plan, world: &World, requests: &Requests, load: Load) -> anyhow::Result<Table> {
    let servers = [&world.backend, &world.bare, &world.gateway];
    let mut rounds: [Vec<Figures>; 3] = Default::default();
    for server in servers {
        load::run(server.address, requests, Load { until: Until::Elapsed(WARM_UP), ..load }).await?;
    }
    for _round in 0..plan.rounds {
        for (server, figures) in servers.iter().zip(&mut rounds) {
            figures.push(turn(server, requests, load).await?);
        }
    }
    let [backend, bare, gateway] = rounds.map(|figures| Figures::medians(&figures));
    Ok(Table { backend, bare, gateway })
}

async fn turn(server: &Server, requests: &Requests, load: Load) -> anyhow::Result<Figures> {
    let cpu_before_ms = server.cpu_ms()?;
    let outcome = load::run(server.address, requests, load).await?;
    let cpu_ms = server.cpu_ms()?.saturating_sub(cpu_before_ms);
    Ok(figures(&outcome, cpu_ms, server.memory_kib()?))
}

fn figures(outcome: &Outcome, cpu_ms: u64, memory_kib: u64) -> Figures {
    Figures {
        calls_a_second: outcome.calls_a_second(),
        p50_us: outcome.percentile_us(50),
        p99_us: outcome.percentile_us(99),
        cpu_us_a_call: cpu_ms.saturating_mul(1_000) / outcome.calls().max(1),
        memory_kib,
    }
}

/// Many calls in ten parts, the memory after each.
async fn soak(world: &World, requests: &Requests, calls: u64) -> anyhow::Result<()> {
    let mut memory_kib = vec![world.gateway.memory_kib()?];
    for _part in 0..10 {
        let load = Load { connections: 256, pace: Pace::Closed, until: Until::Calls(calls / 10) };
        load::run(world.gateway.address, requests, load).await?;
        memory_kib.push(world.gateway.memory_kib()?);
    }
    report::soak(calls, &memory_kib);
    Ok(())
}
