use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::{Credits, EventDefinition, Signals, Step, SystemClock, Timestamp, UsageEventId};

use super::*;
use crate::ShadowCall;
use crate::plugin::{CallOutcome, sha256};

#[derive(Default)]
struct Seen {
    live: Mutex<Vec<String>>,
    shadowed: AtomicU64,
}

impl Observer for Seen {
    fn called(&self, _plugin: &PluginIdentity, _function: &'static str, _took: Duration, _fault: Option<&'static str>) {
    }

    fn loaded(&self, _identity: &PluginIdentity) {}

    fn arranged(&self, live: &[(&'static str, &PluginIdentity)]) {
        *self.live.lock() = live.iter().map(|(stage, plugin)| format!("{stage} {}", plugin.name)).collect();
    }

    fn shadowed(&self, _compared: Compared) {
        self.shadowed.fetch_add(1, Ordering::SeqCst);
    }

    fn rejected(&self, _cause: &'static str) {}
}

fn built(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins").join(name)).unwrap()
}

/// A gateway's pricing whose file is the standard plugin, and the hash of the faulty one, which was uploaded.
struct World {
    pricing: Arc<Pricing>,
    seen: Arc<Seen>,
    faulty: PluginHash,
    rollout: Rollout,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.wasm");
        std::fs::write(&path, built("standard.wasm")).unwrap();
        let seen = Arc::new(Seen::default());
        let options = Options { canary_calls_min: 20, canary_faults_max: 1_000, ..Options::new(path) };
        let pricing = Pricing::start(options, Arc::new(SystemClock), seen.clone()).unwrap();
        let faulty = sha256(&built("faulty.wasm")).parse().unwrap();
        Self { pricing, seen, faulty, rollout: Rollout::default(), _folder: folder }
    }

    fn step(&mut self, step: &Step) {
        self.rollout = self.rollout.after(step).unwrap();
        for hash in self.pricing.missing(&self.rollout) {
            let file = PluginFile { content: built("faulty.wasm"), cases: None, signature: None };
            self.pricing.load(&hash, file).unwrap();
        }
        self.pricing.arrange(self.rollout.clone()).unwrap();
    }

    fn canary(&mut self, parts: u16) {
        self.step(&Step::Canary { sha256: self.faulty.clone(), share: parts.try_into().unwrap() });
    }

    /// Who quotes a call of this organisation, and how much.
    fn quote(&self, organization: &str, event_type: &str) -> (String, i64) {
        let (definition, plan, signals) = (definition(event_type), "free".parse().unwrap(), Signals::default());
        let call = Call { definition: &definition, plan: &plan, signals: &signals };
        let (quote, by) = self.pricing.quote(&organization.parse().unwrap(), &call).unwrap();
        (by.identity().name.clone(), quote.credits.micros())
    }
}

fn definition(event_type: &str) -> EventDefinition {
    EventDefinition {
        event_type: event_type.parse().unwrap(),
        name: String::new(),
        category: String::new(),
        base_credits: Credits::from_micros(40_000_000),
        complexity: None,
        features: BTreeMap::new(),
        version: 1,
    }
}

#[test]
fn a_canary_prices_its_share_and_a_rollback_is_whole() {
    let mut world = World::new();
    assert_eq!(world.quote("acme", "fine").0, "standard");
    world.canary(2_000);
    let share = CanaryShare::try_from(2_000).unwrap();
    let mut by_canary = 0;
    for number in 0..200 {
        let name = format!("org-{number}");
        let want = if share.has(&name.parse().unwrap()) { "faulty" } else { "standard" };
        assert_eq!(world.quote(&name, "fine").0, want, "{name}");
        by_canary += u32::from(want == "faulty");
    }
    assert!((20..60).contains(&by_canary), "{by_canary}");
    assert_eq!(*world.seen.live.lock(), ["active standard", "canary faulty"]);
    world.step(&Step::Rollback);
    assert!((0..200).all(|number| world.quote(&format!("org-{number}"), "fine").0 == "standard"));
    world.step(&Step::Activate { sha256: world.faulty.clone() });
    assert_eq!(world.quote("acme", "fine").0, "faulty");
    let report = world.pricing.report();
    assert_eq!((report.active.unwrap().name, report.previous.unwrap().name), ("faulty".into(), "standard".into()));
    world.step(&Step::Rollback);
    assert_eq!(world.quote("acme", "fine").0, "standard");
}

#[test]
fn a_canary_that_fails_refuses_nobody_and_stops_at_its_limit() {
    let mut world = World::new();
    world.canary(10_000);
    for _ in 0..2 {
        assert_eq!(world.quote("acme", "trap"), ("standard".to_owned(), 40_000_000), "the active plugin steps in");
        assert_eq!(world.pricing.failing_canary(), None);
    }
    assert_eq!(world.quote("acme", "fine").0, "faulty", "2 of 20 are a tenth, which is allowed");
    world.quote("acme", "trap");
    let (number, why) = world.pricing.failing_canary().unwrap();
    assert_eq!(number, 1);
    assert!(why.contains("3 of 4 calls") && why.contains("1000 of 10000"), "{why}");
    assert_eq!(world.quote("acme", "fine").0, "standard", "it sets no more prices here");
    assert!(world.pricing.report().canary.unwrap().failing);
    world.step(&Step::TakeBack { number });
    world.canary(10_000);
    assert_eq!(
        (world.quote("acme", "fine").0.as_str(), world.pricing.failing_canary()),
        ("faulty", None),
        "tried anew"
    );
}

#[test]
fn a_rollout_whose_active_plugin_is_not_there_changes_nothing() {
    let mut world = World::new();
    let rollout = world.rollout.after(&Step::Activate { sha256: world.faulty.clone() }).unwrap();
    assert_eq!(world.pricing.arrange(rollout), Err(world.faulty.clone()));
    assert_eq!(world.quote("acme", "fine").0, "standard");
    let file = PluginFile { content: built("standard.wasm"), cases: None, signature: None };
    assert_eq!(world.pricing.load(&world.faulty, file).err().map(|error| error.cause()), Some("other_content"));
    assert_eq!(world.pricing.report().rejected[0].cause, "other_content");
    world.step(&Step::Shadow { sha256: world.faulty.clone() });
    assert_eq!(world.quote("acme", "fine").0, "standard", "a shadow sets no prices");
}

#[test]
fn the_shadow_compares_what_was_charged_with_what_it_would_have_been() {
    let mut world = World::new();
    world.step(&Step::Shadow { sha256: world.faulty.clone() });
    let shadow = world.pricing.shadow().unwrap();
    let calls = [("fine", Some(30)), ("fine", Some(40)), ("decline", Some(1)), ("trap", Some(1)), ("fine", None)];
    for (event_type, charged) in calls {
        shadow.offer(ShadowCall {
            event: UsageEventId::new(Timestamp::from_millis(1)),
            organization: "acme".parse().unwrap(),
            definition: Arc::new(definition(event_type)),
            plan: "free".parse().unwrap(),
            signals: Signals::default(),
            outcome: CallOutcome { status: 200, complete: true, ..CallOutcome::default() },
            charged: charged.map(|credits| Credits::from_whole(credits).unwrap()),
        });
    }
    let started = Instant::now();
    while world.seen.shadowed.load(Ordering::SeqCst) < 5 {
        assert!(started.elapsed() < Duration::from_secs(20), "the shadow was never asked");
        std::thread::sleep(Duration::from_millis(2));
    }
    // A step for another stage lets the shadow go on counting.
    world.canary(1);
    let figures = world.pricing.report().shadow.unwrap().figures;
    assert_eq!((figures.priced, figures.same, figures.higher, figures.lower), (2, 1, 1, 0));
    assert_eq!((figures.declined, figures.faults.get("trap"), figures.dropped), (1, Some(&1), 0));
    assert_eq!(
        (figures.charged, figures.would_charge),
        (Credits::from_whole(70).unwrap(), Credits::from_whole(80).unwrap())
    );
    assert_eq!(figures.largest.len(), 1);
    world.step(&Step::StopShadow);
    assert!(world.pricing.shadow().is_none() && world.pricing.report().shadow.is_none());
}
