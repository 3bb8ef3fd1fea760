//! `make bench`: the gateway's speed and memory, beside a bare Pingora proxy measured in the same run.
//!
//! Three servers, each a process of its own so that its processor time and memory can be read from the kernel: a
//! backend that answers at once, a bare Pingora proxy in front of it, and the gateway in front of it with everything
//! that a paid call needs. The load comes from this process. Figures of one machine are to be compared with each
//! other, never with those of another.

mod backend;
mod bare;
mod connection;
mod database;
mod framing;
mod load;
mod process;
mod report;
mod scenario;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures the gateway beside a bare Pingora proxy.
#[derive(Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    plan: Plan,
}

/// The servers that the bench starts itself.
#[derive(Subcommand)]
enum Part {
    /// A backend that answers at once.
    Backend {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// What PostgreSQL does for the gateways: events applied, leases granted, statements sent, reports read.
    Database(Box<database::DatabasePlan>),
    /// A Pingora proxy that does nothing but forward.
    Bare {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Where to forward to.
        #[arg(long)]
        upstream: SocketAddr,
    },
}

/// What is measured.
#[derive(Args, Clone)]
struct Plan {
    /// The gateway's binary, a release build.
    #[arg(long, default_value = "target/release/gateway")]
    gateway: PathBuf,
    /// The pricing plugin.
    #[arg(long, default_value = "pricing-plugins/standard.wasm")]
    plugin: PathBuf,
    /// How often each server has its turn; the medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long a turn is, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many organisations the gateway knows in the scenario for memory.
    #[arg(long, default_value_t = 10_000)]
    organizations: usize,
    /// How many calls the gateway takes at the end, to see whether its memory grows; 0 leaves that out.
    #[arg(long, default_value_t = 0)]
    soak: u64,
    /// One scenario alone, in place of all.
    #[arg(long, value_enum, conflicts_with = "soak")]
    only: Option<Scenario>,
}

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// 32 connections, as fast as the answers come.
    Throughput,
    /// 1 000 calls a second.
    Steady,
    /// 256 connections, every organisation.
    Crowd,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Backend { listen }) => backend::run(listen),
        Some(Part::Bare { listen, upstream }) => bare::run(listen, upstream),
        Some(Part::Database(plan)) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(database::run(&plan))
        }
        // One thread makes the load, as it should leave the others to the servers.
        None => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(scenario::run(&cli.plan)),
    }
}
