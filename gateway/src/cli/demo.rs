//! `gateway demo`: a stand-in backend, organisations with some weeks of history, ready credentials, gateway and admin
//! API, on this machine, in a folder that is gone afterwards.

mod history;
mod people;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use ledger::{Clock, SystemClock};
use standin::Standin;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, logging, run};
use crate::Options;
