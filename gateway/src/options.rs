//! What a gateway is started with. The binary makes it from its configuration, tests make it by hand.

use std::net::SocketAddr;
use std::time::Duration;

use settings::{Settings, Verdict};

use crate::routes::{RouteRules, Routes};
use crate::rules::{Rules, Settlement, SettlementPolicy};
use crate::upstream::UpstreamOptions;
