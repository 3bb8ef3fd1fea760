//! `gateway maintain`: the upkeep that gateways do in the background, done now: room for the coming months, and the usage
//! events of months past retention dropped. It must never drop what `database.keep_months` keeps.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use ledger::{Clock as _, SystemClock};
use serde_json::json;
use store::{Maintained, Occupancy};

use super::run::runtime;
use super::{Failure, configuration, say};
use crate::Options;

#[derive(Args)]
pub(super) struct Maintain {
    /// The configuration that names the database and says how many months are kept.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(maintain: &Maintain) -> Result<(), Failure> {
    let settings = configuration::load(&maintain.config)?;
    let options = Options::from_settings(&settings).map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let done = runtime(0)?.block_on(carry_out(maintain, &options))?;
    if maintain.json {
        say(&to_json(&done, maintain.dry_run));
    } else {
        for line in lines(&done, maintain.dry_run, options.keep_months) {
            say(&line);
        }
    }
    Ok(())
}

async fn carry_out(maintain: &Maintain, options: &Options) -> anyhow::Result<Maintained> {
    // Whoever only looks changes nothing, not even the schema.
    let occupancy = if maintain.dry_run { Occupancy::Visitor } else { Occupancy::Companion };
    let store = store::open(store::Options { occupancy, ..options.store.clone() }).await.context("database.url")?;
    let (now, keep) = (SystemClock.now(), options.keep_months);
    let done = if maintain.dry_run { store.upkeep(now, keep).await } else { store.maintain(now, keep).await };
    store.close().await;
    done.map_err(anyhow::Error::new).context("database.url")
}

fn to_json(done: &Maintained, dry_run: bool) -> String {
    let months = |months: &[ledger::Period]| months.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({"dryRun": dry_run, "made": months(&done.made), "dropped": months(&done.dropped)}).to_string()
}

fn lines(done: &Maintained, dry_run: bool, keep_months: Option<u32>) -> Vec<String> {
    let (made, dropped) = if dry_run { ("to make", "to drop") } else { ("made", "dropped") };
    let mut lines: Vec<_> =
        done.made.iter().map(|month| format!("{made} {month}: room for its usage events")).collect();
    let kept = keep_months.unwrap_or_default();
    let past = |month: &ledger::Period| format!("{dropped} {month}: past database.keep_months = {kept}; its sums stay");
    lines.extend(done.dropped.iter().map(past));
    if lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_a_line_a_month_and_the_same_in_json() {
        let month = |text: &str| text.parse().unwrap();
        let done = Maintained { made: vec![month("2027-01")], dropped: vec![month("2026-08"), month("2026-09")] };
        let told = lines(&done, false, Some(2));
        assert_eq!(
            told,
            [
                "made 2027-01: room for its usage events",
                "dropped 2026-08: past database.keep_months = 2; its sums stay",
                "dropped 2026-09: past database.keep_months = 2; its sums stay",
            ]
        );
        assert_eq!(lines(&done, true, Some(2))[1], "to drop 2026-08: past database.keep_months = 2; its sums stay");
        assert_eq!(lines(&Maintained::default(), true, None), ["nothing to do"]);
        let json = r#"{"dropped":["2026-08","2026-09"],"dryRun":true,"made":["2027-01"]}"#;
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&to_json(&done, true)), read(json));
    }
}
