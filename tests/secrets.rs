//! Secrets: at the most verbose level, nothing that was said in confidence is found in logs, errors, metrics, journal or
//! database, and no line of the log can be forged.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::world::{Answer, Connection, OWNER, SECRET, World, diagnosis_path};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything in the files of a folder.
fn files(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_none_or(|extension| extension != "wasm") {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

fn found(what: &str, bytes: &[u8], secrets: &[(&str, String)]) {
    for (name, secret) in secrets {
        let there = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
        let around = there.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(300)..at]).into_owned());
        assert_eq!(around, None, "{name} is in {what}");
    }
}

/// A key of acme's for a machine, as the one answer shows it.
async fn machines_key(world: &World) -> String {
    let made = world.request("POST", "/api/organizations/acme/usage/keys").by(&world.credential(OWNER));
    let made = made.json(&json!({"name": "a machine"})).send().await.json();
    made["secret"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_said_in_confidence_is_written_down_anywhere() {
    let kept = Kept::default();
    let writer = kept.clone();
    let filter = EnvFilter::try_new(gateway::cli::log_filter("trace")).unwrap();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone()).json();
    // Every thread's, and of libraries that log in the older way.
    lines.try_init().expect("another journey has started logging");
    let world = World::with(&[("AUTH__COOKIE", "session"), ("LIMITS__MAX_HEADERS", "30")]).await;
    let credential = world.credential("ann");
    let api_key = machines_key(&world).await;
    let (prompt, reply) = ("the prompt nobody else may read", "the reply nobody else may read");
    let secrets = [
        ("the credential", credential.clone()),
        ("the credential's signature", credential.rsplit_once('.').unwrap().1.to_owned()),
        ("the key", SECRET.to_owned()),
        ("the machine's key", api_key.clone()),
        ("the secret of the machine's key", api_key.rsplit_once('_').unwrap().1.to_owned()),
        ("the prompt", prompt.to_owned()),
        ("the reply", reply.to_owned()),
        ("the cookie", "a-cookie-of-the-app".to_owned()),
        ("the query", "a-secret-in-the-query".to_owned()),
        ("the other field", "a-key-in-a-field".to_owned()),
    ];
    let body = json!({"content": [prompt], "sessionId": "s-1"});
    let shape = |target: &str| {
        let request = world.request("POST", target).header("Cookie", "app=a-cookie-of-the-app");
        request.header("X-Api-Key", "a-key-in-a-field").json(&body)
    };
    let query = format!("{}?key=a-secret-in-the-query", diagnosis_path("acme"));
    let answers = [
        Answer::json(json!({"result": reply}).to_string()),
        Answer::with("500 Broken", "Content-Type: text/plain\r\n", reply),
        Answer::raw("not HTTP at all, the reply nobody else may read\r\n\r\n").close(),
        Answer::with("200 OK", "Content-Type: application/json\r\n", format!("{{broken {reply}")),
        Answer::events("").chunk(format!("data: {reply}\n\n")).close(),
    ];
    let mut seen = Vec::new();
    for answer in answers {
        world.backend.answers(answer);
        shape(&query).by(&credential).send().await;
        shape(&query).by(&api_key).send().await;
        shape("/elsewhere?key=a-secret-in-the-query").by(&credential).send().await;
    }
    world.backend.answers(Answer::default());
    // Whatever is refused, by us.
    let forged = format!("{credential}x");
    for (name, request) in [
        ("a forged credential", shape(&query).by(&forged)),
        ("a forged key", shape(&query).by(&format!("{api_key}0"))),
        ("a key where it may do nothing", world.request("GET", "/api/organizations/acme/usage/keys").by(&api_key)),
        ("a stranger's organization", shape(&diagnosis_path("umbrella")).by(&credential)),
        ("two credentials", shape(&query).by(&credential).by(&credential)),
        (
            "a header too large",
            (0..40).fold(shape(&query).by(&credential), |request, n| {
                request.header(&format!("X-{n}"), "a-key-in-a-field")
            }),
        ),
        ("no JSON", world.request("POST", &query).by(&credential).body(format!("{{broken {prompt}"))),
        ("no path", shape("/x/../a-secret-in-the-query").by(&credential)),
    ] {
        let answer = request.send().await;
        assert!(answer.status >= 400, "{name}: {}", answer.status);
        seen.push((name.to_owned(), answer.text().into_bytes()));
    }
    // And by the HTTP library.
    for broken in [
        format!("POST {query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {credential}\r\nX: a\0b\r\n\r\n{body}"),
        format!(
            "POST {query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {credential}\r\nContent-Length: 9, 8\r\n\r\n{body}"
        ),
        format!(
            "POST {query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {credential}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{prompt}"
        ),
        format!(
            "POST {query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {credential}\r\nContent-Length: 999\r\n\r\n{prompt}"
        ),
    ] {
        let mut client = Connection::open(world.running().address).await;
        client.send(broken.as_bytes()).await;
        client.half_close().await;
        client.ends("a broken request").await;
    }
    // A line cannot be forged: what comes from outside stands in a text of JSON.
    let forging = world.diagnosis("acme", "ann").header("X-Request-Id", "x\",\"level\":\"ERROR");
    forging.json(&json!({"content": []})).send().await;
    seen.push(("metrics".to_owned(), world.metrics().await.into_bytes()));
    let folder = world.folder();
    files(folder.path(), &mut seen);
    world.end().await;
    files(folder.path(), &mut seen);
    assert!(seen.iter().any(|(name, _)| name.ends_with("usage.db")), "the database was looked at");
    assert!(seen.iter().any(|(name, _)| name.contains("journal")), "the journal was looked at");
    let log = kept.0.lock().clone();
    assert!(log.len() > 10_000, "{} bytes were logged", log.len());
    let text = String::from_utf8_lossy(&log).into_owned();
    assert!(text.lines().any(|line| line.contains("\"TRACE\"") || line.contains("\"DEBUG\"")), "the level is verbose");
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert!(line["level"].is_string(), "{line}");
    }
    seen.push(("the log".to_owned(), log));
    for (what, bytes) in &seen {
        found(what, bytes, &secrets);
    }
}
