use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ledger::{PluginIdentity, SystemClock};

use super::*;
use crate::lineup::{Observer, REJECTED_MAX};
use crate::plugin::{Call, CallOutcome};
use crate::{Compared, PricingError};

#[derive(Default)]
struct Counts {
    loaded: AtomicUsize,
    rejected: AtomicUsize,
    called: AtomicUsize,
}

impl Observer for Counts {
    fn called(&self, _plugin: &PluginIdentity, _function: &'static str, _took: Duration, _fault: Option<&'static str>) {
        self.called.fetch_add(1, Ordering::SeqCst);
    }

    fn loaded(&self, _identity: &PluginIdentity) {
        self.loaded.fetch_add(1, Ordering::SeqCst);
    }

    fn arranged(&self, _live: &[(&'static str, &PluginIdentity)]) {}

    fn shadowed(&self, _compared: Compared) {}

    fn rejected(&self, _cause: &'static str) {
        self.rejected.fetch_add(1, Ordering::SeqCst);
    }
}

fn built(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pricing-plugins").join(name)
}

fn start(path: &Path) -> (Arc<Pricing>, Arc<Counts>) {
    let mut options = Options::new(path);
    options.poll = Duration::from_millis(200);
    options.debounce = Duration::from_millis(20);
    let counts = Arc::new(Counts::default());
    (Pricing::start(options, Arc::new(SystemClock), counts.clone()).unwrap(), counts)
}

/// Waits for what must come; a watch that never notices fails the test here.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn active(pricing: &Pricing) -> String {
    pricing.current().identity().name.clone()
}

#[test]
fn a_plugin_is_swapped_by_rename_in_place_and_by_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.wasm");
    std::fs::copy(built("standard.wasm"), &path).unwrap();
    let (pricing, counts) = start(&path);
    assert_eq!(active(&pricing), "standard");

    std::fs::copy(built("faulty.wasm"), folder.path().join("new")).unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    until("renamed over", || active(&pricing) == "faulty");

    std::fs::write(&path, std::fs::read(built("standard.wasm")).unwrap()).unwrap();
    until("written in place", || active(&pricing) == "standard");

    // As Kubernetes mounts configuration: the file is a link through a folder that is itself a link.
    for (version, name) in [("v1", "faulty.wasm"), ("v2", "standard.wasm")] {
        std::fs::create_dir(folder.path().join(version)).unwrap();
        std::fs::copy(built(name), folder.path().join(version).join("prices.wasm")).unwrap();
    }
    std::os::unix::fs::symlink("v1", folder.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/prices.wasm", folder.path().join("link")).unwrap();
    std::fs::rename(folder.path().join("link"), &path).unwrap();
    until("linked", || active(&pricing) == "faulty");
    std::os::unix::fs::symlink("v2", folder.path().join("..data_tmp")).unwrap();
    std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    until("link swapped", || active(&pricing) == "standard");
    assert_eq!(counts.rejected.load(Ordering::SeqCst), 0);
}

#[test]
fn a_plugin_that_fails_its_golden_cases_waits_until_they_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.wasm");
    std::fs::copy(built("standard.wasm"), &path).unwrap();
    let (pricing, counts) = start(&path);

    let cases = |credits: &str| format!("[trap]\nbase = 1\ncalls = [{{ {credits} }}]\n[free]\nbase = 1\ncalls = []\n");
    std::fs::write(folder.path().join("prices.cases.toml"), cases("credits = 1")).unwrap();
    std::fs::copy(built("faulty.wasm"), folder.path().join("new")).unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    until("rejected", || counts.rejected.load(Ordering::SeqCst) == 1);
    let report = pricing.report();
    let rejected = report.rejected.first().unwrap();
    assert_eq!((active(&pricing).as_str(), rejected.cause), ("standard", "golden_cases"));
    assert!(rejected.reason.contains("trap: text 0: wanted 1, answered trapped"), "{}", rejected.reason);

    std::fs::remove_file(folder.path().join("prices.cases.toml")).unwrap();
    until("taken without its cases", || active(&pricing) == "faulty");
    assert_eq!(counts.rejected.load(Ordering::SeqCst), 1, "told once");
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.wasm");
    let sound = std::fs::read(built("standard.wasm")).unwrap();
    std::fs::write(&path, &sound).unwrap();
    let (pricing, counts) = start(&path);
    let first = pricing.current();

    std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    until("rejected", || counts.rejected.load(Ordering::SeqCst) == 1);
    assert_eq!(pricing.current().identity(), first.identity());
    let report = pricing.report();
    let rejected = report.rejected.first().unwrap();
    assert_eq!((rejected.cause, report.rejected.len()), ("not_a_component", 1));
    assert_eq!(report.active.unwrap().sha256, first.identity().sha256);
    assert_eq!(report.previous, None);

    std::fs::remove_file(&path).unwrap();
    std::fs::copy(built("faulty.wasm"), &path).unwrap();
    until("recovered", || active(&pricing) == "faulty");
    let report = pricing.report();
    assert_eq!(report.previous.map(|plugin| plugin.name), Some("standard".to_owned()));
    assert_eq!(counts.loaded.load(Ordering::SeqCst), 2);
}

#[test]
fn a_first_plugin_that_is_bad_fails_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.wasm");
    let start = |path: &Path| Pricing::start(Options::new(path), Arc::new(SystemClock), Arc::new(Counts::default()));
    assert_eq!(start(&path).err().map(|error| error.cause()), Some("unreadable"));
    std::fs::write(&path, "nonsense").unwrap();
    assert_eq!(start(&path).err().map(|error| error.cause()), Some("not_a_component"));
}

#[test]
fn a_file_is_rejected_once_and_again_when_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.wasm");
    let sound = std::fs::read(built("standard.wasm")).unwrap();
    std::fs::write(&path, &sound).unwrap();
    let mut options = Options::new(&path);
    options.file_bytes_max = 1 << 20;
    // The test looks by itself: the watcher is asleep.
    (options.poll, options.debounce) = (Duration::from_secs(3_600), Duration::from_secs(3_600));
    let pricing = Pricing::start(options, Arc::new(SystemClock), Arc::new(Counts::default())).unwrap();
    let mut rejected = None;
    let mut look = || {
        pricing.look(&mut rejected);
        pricing.look(&mut rejected);
        pricing.report().rejected.iter().map(|file| file.cause).collect::<Vec<_>>()
    };

    std::fs::write(&path, "nonsense").unwrap();
    assert_eq!(look(), ["not_a_component"]);
    std::fs::write(&path, &sound).unwrap();
    assert_eq!(look(), ["not_a_component"]);
    std::fs::write(&path, "nonsense").unwrap();
    assert_eq!(look(), ["not_a_component", "not_a_component"]);
    std::fs::write(&path, vec![0; (1 << 20) + 1]).unwrap();
    assert_eq!(look()[0], "file_too_large");
    // A file that is gone is no news; a folder in its place is.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(look().len(), 3);
    std::fs::create_dir(&path).unwrap();
    assert_eq!(look()[0], "unreadable");
    std::fs::remove_dir(&path).unwrap();
    for number in 0..REJECTED_MAX {
        std::fs::write(&path, number.to_string()).unwrap();
        assert_eq!(look().len(), (5 + number).min(REJECTED_MAX));
    }
    assert_eq!(active(&pricing), "standard");
}

#[test]
fn a_busy_folder_does_not_keep_a_plugin_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.wasm");
    std::fs::copy(built("standard.wasm"), &path).unwrap();
    let mut options = Options::new(&path);
    (options.poll, options.debounce) = (Duration::from_millis(300), Duration::from_millis(150));
    let pricing = Pricing::start(options, Arc::new(SystemClock), Arc::new(Counts::default())).unwrap();
    std::fs::copy(built("faulty.wasm"), folder.path().join("new")).unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    until("loaded beside a busy file", || {
        std::fs::write(folder.path().join("log"), "one more line").unwrap();
        active(&pricing) == "faulty"
    });
}

#[test]
fn a_call_settles_with_the_plugin_that_quoted_it_and_both_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.wasm");
    std::fs::copy(built("standard.wasm"), &path).unwrap();
    let (pricing, counts) = start(&path);
    let definition: ledger::EventDefinition = ledger::EventDefinition {
        event_type: "settle_trap".parse().unwrap(),
        name: String::new(),
        category: String::new(),
        base_credits: ledger::Credits::from_whole(3).unwrap(),
        complexity: None,
        features: std::collections::BTreeMap::new(),
        version: 1,
    };
    let (plan, signals) = ("free".parse().unwrap(), ledger::Signals::default());
    let call = Call { definition: &definition, plan: &plan, signals: &signals };
    let quoted_by = pricing.current();
    let quote = quoted_by.quote(&call).unwrap();
    std::fs::copy(built("faulty.wasm"), folder.path().join("new")).unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    until("swapped", || active(&pricing) == "faulty");
    assert_eq!(quoted_by.settle(&call, &quote, &CallOutcome::default()).unwrap().quote, quote);
    assert_eq!(pricing.current().settle(&call, &quote, &CallOutcome::default()), Err(PricingError::Trap));
    assert_eq!(counts.called.load(Ordering::SeqCst), 3);
}
