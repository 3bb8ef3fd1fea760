//! A plan is made of recorded calls, read back only when it is whole, and applied once.

use std::path::PathBuf;

use super::*;
use crate::cli::plugin::replay::Sum;

fn price(charged: i64, new: i64) -> NewPrice {
    let credits = |whole| Credits::from_whole(whole).unwrap();
    NewPrice {
        event_id: UsageEventId::new("2026-11-24T00:00:00Z".parse().unwrap()),
        organization_id: "acme".parse().unwrap(),
        event_type: "structuring_diagnose".parse().unwrap(),
        charged: credits(charged),
        price: credits(new),
        difference: credits(new - charged),
    }
}

fn written(folder: &Path, prices: &[NewPrice]) -> PathBuf {
    let path = folder.join("a.plan");
    let which = Which { months: ("2026-11".parse().unwrap(), "2026-11".parse().unwrap()), organization: None };
    let plugin = ledger::PluginIdentity { name: "new".into(), version: "1".into(), sha256: "00".into() };
    let Ok(mut plan) = PlanFile::create(&path, &Head::new(plugin, &which, "free".parse().unwrap())) else {
        panic!("the plan cannot be made")
    };
    for price in prices {
        plan.add(price).unwrap();
    }
    assert!(!path.exists(), "half a plan is none");
    assert!(plan.finish(&Sum::default()).is_ok());
    path
}

fn why(failure: Failure) -> String {
    match failure {
        Failure::Faults(faults) => faults.join("; "),
        Failure::Usage(why) => why,
        Failure::Failed(error) => format!("{error:#}"),
    }
}

#[test]
fn a_plan_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let prices = [price(10, 4), price(3, 8), price(1, 0)];
    let path = written(folder.path(), &prices);
    let Ok(plan) = plan::verify(&path) else { panic!("the plan is whole") };
    assert_eq!((plan.totals.differing, plan.totals.difference), (3, Credits::from_whole(-2).unwrap()));
    let Ok(read) = plan::prices(&path, plan.totals.differing) else { panic!("the plan is there") };
    assert_eq!(read.collect::<anyhow::Result<Vec<_>>>().unwrap(), prices);
    let which = Which { months: ("2026-11".parse().unwrap(), "2026-11".parse().unwrap()), organization: None };
    let again = PlanFile::create(&path, &Head::new(plan.head.plugin, &which, "free".parse().unwrap()));
    assert!(why(again.err().unwrap()).contains("never overwritten"));
}

#[test]
fn a_plan_that_was_cut_or_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[price(10, 4), price(3, 8)]);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let refused = |lines: &[&str], part: &str| {
        let other = folder.path().join("other.plan");
        std::fs::write(&other, lines.join("\n")).unwrap();
        let why = why(plan::verify(&other).err().unwrap());
        assert!(why.contains(part), "{why}");
    };
    refused(&[], "not whole");
    refused(&lines[..1], "not whole");
    refused(&lines[..2], "the totals are missing");
    refused(&lines[..3], "the totals are missing");
    refused(&[lines[0], lines[1], lines[3]], "the totals are not those of the lines");
    refused(&[lines[0], lines[1], lines[2], lines[2], lines[3]], "the totals are not those of the lines");
    let cheaper = lines[1].replace("\"price\":4", "\"price\":3");
    refused(&[lines[0], &cheaper, lines[2], lines[3]], "line 2: the difference is not");
    refused(&[lines[0], &lines[1].replace("charged", "chraged"), lines[2], lines[3]], "line 2: unknown field");
    refused(&[&lines[0].replace("\"rerating\":1", "\"rerating\":2"), lines[1], lines[2], lines[3]], "its form is 2");
}
