use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ledger::SystemClock;

use super::*;

#[derive(Default)]
struct Counts {
    loaded: AtomicUsize,
    rejected: AtomicUsize,
    called: AtomicUsize,
}

impl Observer for Counts {
    fn called(&self, _function: &'static str, _took: Duration, _fault: Option<&'static str>) {
        self.called.fetch_add(1, Ordering::SeqCst);
    }

    fn loaded(&self, _identity: &PluginIdentity) {
        self.loaded.fetch_add(1, Ordering::SeqCst);
    }

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
        std::thread::yield_now();
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
