//! Credentials from anybody.

use std::sync::{Arc, OnceLock};

use access::{Authenticator, KeySource, Options, Presented};
use ledger::SystemClock;
use tokio::runtime::{Builder, Runtime};

/// Nobody outside this file signs with it, so no bytes from outside verify.
const SECRET: &[u8] = b"a secret that signs nothing, of more than 32 bytes";

static READER: OnceLock<Option<(Runtime, Arc<Authenticator>)>> = OnceLock::new();

/// A header and a cookie, a line each, never make anybody known.
pub fn credential(lines: &[u8]) {
    let reader = READER.get_or_init(reader).as_ref();
    assert!(reader.is_some(), "the authenticator starts");
    let Some((runtime, authenticator)) = reader else { return };
    let mut lines = lines.split(|byte| *byte == b'\n');
    let (authorization, cookie) = (lines.next(), lines.next());
    let cookies: Vec<&[u8]> = cookie.into_iter().collect();
    let identity = runtime.block_on(authenticator.identify(Presented { authorization, cookies: &cookies }));
    assert!(identity.is_err(), "somebody is let in");
}

fn reader() -> Option<(Runtime, Arc<Authenticator>)> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let options = Options::new("issuer", "audience", vec![KeySource::Secret(SECRET.to_vec())]);
    let options = Options { cookie: Some("session".to_owned()), ..options };
    let authenticator = runtime.block_on(async { Authenticator::start(options, Arc::new(SystemClock)) }).ok()?;
    Some((runtime, authenticator))
}
