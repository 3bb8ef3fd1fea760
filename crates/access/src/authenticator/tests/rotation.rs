//! Keys that change while credentials are out.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::*;

#[tokio::test]
async fn a_key_that_leaves_its_file_is_believed_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, JWKS).unwrap();
    let setting = setting(|options| {
        options.keys = vec![KeySource::File(file.clone())];
        options.refresh = Duration::from_millis(10);
    });
    let credential = signed(Algorithm::EdDSA, Some("ed"), &claims());
    assert!(identify(&setting, &credential).await.is_ok());
    let without_ed: Value = serde_json::from_str(JWKS).unwrap();
    std::fs::write(&file, json!({"keys": [without_ed["keys"][0]]}).to_string()).unwrap();
    let started = Instant::now();
    while identify(&setting, &credential).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20), "the key was never withdrawn");
        tokio::task::yield_now().await;
    }
    assert!(identify(&setting, &signed(Algorithm::RS256, Some("rsa"), &claims())).await.is_ok());
}

/// A key server that counts its questions and answers with whatever it is given.
fn key_server(answer: Arc<Mutex<String>>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/jwks", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let serve = move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            counted.fetch_add(1, Ordering::SeqCst);
            let body = answer.lock().clone();
            let head = if body.starts_with("HTTP/") {
                String::new()
            } else {
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())
            };
            let _ = write!(stream, "{head}{body}");
        }
    };
    std::thread::Builder::new().name("key-server".to_owned()).spawn(serve).unwrap();
    (address, asked)
}

#[tokio::test]
async fn a_new_key_is_fetched_once_however_many_ask_for_it() {
    let all: Value = serde_json::from_str(JWKS).unwrap();
    let answer = Arc::new(Mutex::new(json!({"keys": [all["keys"][0]]}).to_string()));
    let (address, asked) = key_server(Arc::clone(&answer));
    let setting = setting(|options| options.keys = vec![KeySource::Address(address)]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    *answer.lock() = JWKS.to_owned();
    let credential = signed(Algorithm::ES256, Some("ec"), &claims());
    assert!(identify(&setting, &credential).await.is_ok(), "the new key is found");
    for number in 0..50 {
        let kid = format!("unknown-{number}");
        assert!(identify(&setting, &signed(Algorithm::RS256, Some(&kid), &claims())).await.is_err());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "unknown keys cause one question until the floor is over");
}

#[tokio::test]
async fn a_key_server_that_fails_fails_the_start_and_says_why() {
    let (address, _asked) = key_server(Arc::new(Mutex::new("x".repeat(101))));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
    let start = |bytes_max| {
        let mut options = Options::new("i", "a", vec![KeySource::Address(address.clone())]);
        options.key_set_bytes_max = bytes_max;
        Authenticator::start(options, Arc::clone(&clock)).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(start(100).contains("larger than 100 bytes"), "{}", start(100));
    assert!(start(101).contains("no JSON Web Key Set"), "{}", start(101));
    assert!(matches!(Authenticator::start(Options::new("i", "a", Vec::new()), clock), Err(StartError::NoKeys)));
}

/// The key set with the first key only: no `ec`, no `ed`.
fn rsa_only() -> String {
    let all: Value = serde_json::from_str(JWKS).unwrap();
    json!({"keys": [all["keys"][0]]}).to_string()
}

#[tokio::test]
async fn unknown_keys_cause_one_question_each_time_the_floor_is_over() {
    let (address, asked) = key_server(Arc::new(Mutex::new(rsa_only())));
    let setting = setting(|options| {
        options.keys = vec![KeySource::Address(address)];
        options.refetch_floor = Duration::ZERO;
    });
    for number in 0..3 {
        assert!(identify(&setting, &signed(Algorithm::RS256, Some("other"), &claims())).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), number + 2);
    }
    let forged = with_header(&json!({"alg": "RS256", "kid": "rsa"}), &claims(), RSA_PUBLIC);
    assert!(identify(&setting, &forged).await.is_err());
    assert!(identify(&setting, "no.jwt.atall").await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 4, "only an unknown key causes a question");
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the key server is meant to wait for it")]
async fn a_caller_who_leaves_does_not_take_the_new_key_along() {
    let answer = Arc::new(Mutex::new(rsa_only()));
    let (address, asked) = key_server(Arc::clone(&answer));
    let setting = setting(|options| options.keys = vec![KeySource::Address(address)]);
    let credential = signed(Algorithm::ES256, Some("ec"), &claims());
    let mut held = answer.lock();
    JWKS.clone_into(&mut held);
    tokio::select! {
        _ = identify(&setting, &credential) => panic!("the key server has not answered yet"),
        () = async { while asked.load(Ordering::SeqCst) < 2 { tokio::task::yield_now().await } } => {}
    }
    drop(held);
    assert!(identify(&setting, &credential).await.is_ok(), "whoever comes next waits for the answer");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_key_that_leaves_its_address_is_believed_no_longer() {
    let answer = Arc::new(Mutex::new(JWKS.to_owned()));
    let (address, _asked) = key_server(Arc::clone(&answer));
    let setting = setting(|options| {
        options.keys = vec![KeySource::Address(address)];
        options.refresh = Duration::from_millis(10);
    });
    let credential = signed(Algorithm::ES256, Some("ec"), &claims());
    assert!(identify(&setting, &credential).await.is_ok());
    *answer.lock() = rsa_only();
    let started = Instant::now();
    while identify(&setting, &credential).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20), "the key was never withdrawn");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_remembered_credential_goes_stale_with_its_keys() {
    let answer = Arc::new(Mutex::new(JWKS.to_owned()));
    let (address, asked) = key_server(Arc::clone(&answer));
    let setting = setting(|options| {
        options.keys = vec![KeySource::Address(address), KeySource::Secret(SECRET.to_vec())];
        options.refetch_floor = Duration::ZERO;
    });
    let credential = signed(Algorithm::ES256, Some("ec"), &claims());
    assert!(identify(&setting, &credential).await.is_ok());
    *answer.lock() = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned();
    let old = &setting.authenticator.sources[0];
    old.age(setting.authenticator.options.stale_max + Duration::from_secs(1));
    assert!(identify(&setting, &credential).await.is_err(), "keys that nobody stands for any more are not used");
    assert!(
        identify(&setting, &signed(Algorithm::HS256, None, &claims())).await.is_ok(),
        "other sources do not suffer"
    );
    *answer.lock() = JWKS.to_owned();
    assert!(identify(&setting, &credential).await.is_ok(), "until the source is back");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_answer_that_is_no_key_set_of_that_address_is_not_taken() {
    let head = |status: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{JWKS}", JWKS.len())
    };
    let moved = head("302 Found\r\nlocation: http://127.0.0.1:1/jwks");
    for (answer, want) in [
        (moved, "it answers 302 Found"),
        (head("404 Not Found"), "404"),
        (head("203 Changed On The Way"), "it answers 203"),
    ] {
        let (address, asked) = key_server(Arc::new(Mutex::new(answer)));
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
        let options = Options::new("i", "a", vec![KeySource::Address(address)]);
        let said = Authenticator::start(options, clock).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(want), "{said}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    let (address, _asked) = key_server(Arc::new(Mutex::new(JWKS.to_owned())));
    let encrypted = KeySource::Address(address.replace("http://", "https://"));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
    let failed = Authenticator::start(Options::new("i", "a", vec![encrypted]), clock);
    assert!(matches!(failed, Err(StartError::Source(KeySourceError::Address { .. }))), "a server that speaks no TLS");
}
