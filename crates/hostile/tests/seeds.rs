//! Every seed of the fuzzer, without the fuzzer: what was once found stays fixed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hostile::PROPERTIES;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_property_holds_for_every_seed() {
    for (name, property) in PROPERTIES {
        let folder = corpus().join(name);
        let seeds = names(&folder);
        assert!(seeds.len() >= 4, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            let bytes = std::fs::read(folder.join(&seed)).unwrap();
            let held = std::panic::catch_unwind(|| property(&bytes));
            assert!(held.is_ok(), "{name} does not hold for {seed}");
            // What is cut short, or damaged in one place, is a seed too.
            for at in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
                property(&bytes[..at]);
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x20;
                property(&damaged);
            }
        }
    }
}

#[test]
fn every_property_has_a_target_and_a_folder_of_seeds() {
    let properties: BTreeSet<String> = PROPERTIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let targets = names(&corpus().join("../fuzz_targets"));
    assert_eq!(names(&corpus()), properties);
    assert_eq!(targets, properties.iter().map(|name| format!("{name}.rs")).collect());
}
