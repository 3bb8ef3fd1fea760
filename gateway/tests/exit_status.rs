//! The program's exit statuses and what it says with them: one table for every command.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::path::Path;
use std::process::Command;

const SECRET: &str = "a secret of the tests, which is long enough";

/// Runs the program where there is nothing; its status and all that it says.
fn run(folder: &Path, words: &[&str]) -> (i32, String) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let at = |name: &str| folder.join(name).display().to_string();
    let mut program = Command::new(env!("CARGO_BIN_EXE_gateway"));
    program
        .current_dir(folder)
        .env("GATEWAY__SERVER__LISTEN", "127.0.0.1:1")
        .env("GATEWAY__ADMIN__LISTEN", "127.0.0.1:0")
        .env("GATEWAY__AUTH__JWKS", "")
        .env("GATEWAY__AUTH__HS256_SECRET", SECRET)
        .env("GATEWAY__DATABASE__URL", format!("sqlite:{}", at("usage.db")))
        .env("GATEWAY__JOURNAL__DIRECTORY", at("journal"))
        .env("GATEWAY__PRICING__PLUGIN", repository.join("pricing-plugins/standard.wasm"));
    let ended = program.args(words).output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn every_command_ends_with_a_status_of_the_table_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/gateway.toml");
    let sound = sound.display().to_string();
    let bad = folder.path().join("bad.toml");
    std::fs::write(&bad, "[server]\nthreads = \"many\"\n").unwrap();
    let bad = bad.display().to_string();
    let drill = |more: &[&'static str]| [&["drill", "--config", &sound][..], more].concat();
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pricing-plugins/standard.wasm");
    let plugin = plugin.display().to_string();
    let quote = |option: &'static str, value: &'static str| {
        vec!["plugin", "quote", &plugin, "--event", "structuring_diagnose", option, value]
    };
    let cases: [(Vec<&str>, i32, &str); 21] = [
        (vec!["--help"], 0, "Exit status"),
        (vec!["--version"], 0, "gateway "),
        (vec![], 64, "--config <FILE>"),
        (vec!["nonsense"], 64, "nonsense"),
        (vec!["--config"], 64, "--config"),
        (vec!["--config", &bad], 64, "bad.toml:2: server.threads"),
        (vec!["run", "--config", "nowhere.toml"], 64, "nowhere.toml"),
        (vec!["check", "--config", &bad], 1, "bad.toml:2: server.threads"),
        (vec!["reconcile", "--config", &sound, "--from", "never"], 64, "--from"),
        (drill(&["--calls", "0"]), 64, "--calls"),
        (drill(&["--calls", "5", "--credit-for", "5"]), 64, "--credit-for"),
        (drill(&["--instance", "ftp://x"]), 64, "allowed: http://HOST:PORT"),
        (drill(&[]), 1, "http://127.0.0.1:1: no connection to a gateway"),
        (drill(&["--body", "{bad"]), 64, "--body: "),
        (quote("--body", "{bad"), 64, "--body: "),
        (quote("--text", "content"), 64, "--text or --flag: "),
        (quote("--signals", "{}"), 64, "--signals: "),
        (quote("--definition", "{"), 64, "--definition: "),
        // The drills before made the database.
        (vec!["reconcile", "--config", &sound, "--organization", "nobodys"], 64, "there is no organisation nobodys"),
        (vec!["plugin", "inspect", "nowhere.wasm"], 1, "nowhere.wasm"),
        (vec!["plugin", "quote", "nowhere.wasm"], 64, "--event"),
    ];
    for (words, status, why) in cases {
        let (ended, said) = run(folder.path(), &words);
        assert_eq!(ended, status, "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
        assert!(!said.contains(SECRET), "{words:?}: {said}");
    }
}
