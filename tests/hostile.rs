//! Requests that are malformed, smuggled or ambiguous (RFC 9110, RFC 9112, published advisories): whatever the gateway
//! makes of them, the backend gets well-framed requests or none, never one that was hidden in another, and whoever comes
//! next on the connection is answered as himself or not at all.

mod corpus;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{Answer, World, diagnosis_path};

/// How long a connection may be quiet before it is taken to have said all.
const QUIET: Duration = Duration::from_millis(700);

/// What a connection said, and whether it is over.
struct Heard {
    text: String,
    over: bool,
}

impl Heard {
    /// The statuses of the final answers in it.
    fn statuses(&self) -> Vec<&str> {
        let lines = self.text.split("HTTP/1.1 ").skip(1).map(|rest| &rest[..rest.len().min(3)]);
        lines.filter(|status| !status.starts_with('1')).collect()
    }
}

async fn hear(stream: &mut TcpStream) -> Heard {
    let mut bytes = Vec::new();
    loop {
        match timeout(QUIET, stream.read_buf(&mut bytes)).await {
            Err(_quiet) => return Heard { text: String::from_utf8_lossy(&bytes).into_owned(), over: false },
            Ok(Ok(0) | Err(_)) => return Heard { text: String::from_utf8_lossy(&bytes).into_owned(), over: true },
            Ok(Ok(_)) => {}
        }
    }
}

/// Sends an attack and then an honest request, and says what is wrong with what came of it.
async fn attack(address: SocketAddr, number: usize, bytes: Vec<u8>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    let first = hear(&mut stream).await;
    if first.statuses().len() > 1 {
        faults.push(format!("two answers to one request: {}", first.text));
    }
    if first.text.contains("asked for /smuggled") {
        faults.push(format!("the hidden request was answered: {}", first.text));
    }
    if first.over {
        return faults;
    }
    let honest = format!("GET /honest/{number} HTTP/1.1\r\nHost: a\r\n\r\n");
    let _ = stream.write_all(honest.as_bytes()).await;
    let second = hear(&mut stream).await;
    let answered = !first.statuses().is_empty();
    let as_itself = second.text.contains(&format!("asked for /honest/{number}."));
    let refused = second.statuses().iter().all(|status| status.starts_with('4')) && second.over;
    // An attack that is not complete may take the honest bytes for its own rest: then the answer is the attack's.
    let still_the_attack = !answered && second.statuses().len() <= 1;
    if !(as_itself && second.statuses().len() == 1 || refused || still_the_attack) {
        faults.push(format!("the next request was answered with {:?} after {:?}", second.text, first.text));
    }
    if second.text.contains("asked for /smuggled") {
        faults.push(format!("the hidden request was answered to the next: {}", second.text));
    }
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_smuggled_reaches_the_backend_or_the_next_request() {
    let world = World::with(&[
        ("LIMITS__HEADER_TIMEOUT", "1s"),
        ("LIMITS__READ_TIMEOUT", "2s"),
        ("SERVER__BODY_TIMEOUT", "2s"),
        ("UPSTREAM__RESPONSE_TIMEOUT", "2s"),
    ])
    .await;
    world.backend.follows(|received| Answer::json(format!(r#"{{"said": "asked for {}."}}"#, received.target)));
    let paid = diagnosis_path("acme");
    let credential = format!("Authorization: Bearer {}\r\n", world.credential("ann"));
    let mut cases = Vec::new();
    for (target, fields) in [("/attack".to_owned(), String::new()), (paid, credential)] {
        cases.extend(corpus::all(&target, &fields));
    }
    assert!(cases.len() >= 400, "{} cases", cases.len());
    let address = world.running().address;
    let mut faults = Vec::new();
    let mut number = 0;
    for wave in cases.chunks(64) {
        let attacks = wave.iter().map(|(name, bytes)| {
            number += 1;
            let (number, name, bytes) = (number, name.clone(), bytes.clone());
            async move { (name, attack(address, number, bytes).await) }
        });
        for (name, found) in futures_util::future::join_all(attacks).await {
            faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    for received in world.backend.all() {
        if received.target.starts_with("/smuggled") {
            faults.push(format!("the backend got {} {}", received.method, received.target));
        }
        let hosts = received.headers.iter().filter(|(name, _)| name == "host").count();
        let version = &received.version;
        if version != "HTTP/1.1" {
            faults.push(format!("the backend got {version} with {}", received.target));
        }
        if hosts != 1 {
            faults.push(format!("the backend got {hosts} hosts with {}", received.target));
        }
        for (name, value) in &received.headers {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if !name.bytes().all(token) || value.chars().any(|c| c.is_control() && c != '\t') {
                faults.push(format!("the backend got the field {name:?}: {value:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults in {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
    // Everybody else goes on as before.
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.end().await;
}
