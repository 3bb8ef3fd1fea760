//! Credentials that somebody made up (RFC 8725 and the public catalogues): all get the same 401, and none makes the gateway
//! ask anybody anything.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use crate::world::{SECRET, World, diagnosis_path};

/// What a true credential of Ann's says.
fn claims() -> Value {
    json!({"iss": "https://id.journeys.example", "aud": "gateway", "sub": "ann", "exp": 1_893_456_000})
}

fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::String(text) if text == "(absent)" => claims.as_object_mut().unwrap().remove(name),
            _ => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|of_key| of_key ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Header and claims as they stand, signed with this key.
fn signed_text(header: &str, claims: &str, key: &[u8]) -> String {
    let text = format!("{}.{}", encoded(header), encoded(claims));
    let signature = encoded(hmac(key, text.as_bytes()));
    format!("{text}.{signature}")
}

fn signed(header: &Value, claims: &Value, key: &[u8]) -> String {
    signed_text(&header.to_string(), &claims.to_string(), key)
}

/// Truly signed, with this in its header.
fn headed(header: Value) -> String {
    let mut whole = json!({"alg": "HS256", "typ": "JWT"});
    whole.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
    signed(&whole, &claims(), SECRET.as_bytes())
}

/// Truly signed, with these claims.
fn claiming(changes: Value) -> String {
    signed(&json!({"alg": "HS256"}), &with(changes), SECRET.as_bytes())
}

/// Not signed by anybody.
fn unsigned(header: Value, signature: &[u8]) -> String {
    format!("{}.{}.{}", encoded(header.to_string()), encoded(claims().to_string()), encoded(signature))
}

fn signatures(stranger: &str) -> Vec<(&'static str, String)> {
    let good = claiming(json!({}));
    let (text, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = text.split_once('.').unwrap();
    let public = include_bytes!("../crates/access/tests/keys/rsa.pub.pem");
    let jwks: Value = serde_json::from_slice(include_bytes!("../crates/access/tests/keys/jwks.json")).unwrap();
    let rsa = &jwks["keys"][0];
    let modulus = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
    let swapped = encoded(with(json!({"sub": "olga"})).to_string());
    // The same signature, with other bits where base64 has some to spare.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let other = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    let hs = |kid: &str, key: &[u8]| signed(&json!({"alg": "HS256", "kid": kid}), &claims(), key);
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{first}{}", &signature[1..]);
    vec![
        ("alg none", unsigned(json!({"alg": "none"}), b"")),
        ("alg None", unsigned(json!({"alg": "None"}), b"")),
        ("alg NONE", unsigned(json!({"alg": "NONE"}), b"")),
        ("alg nOnE", unsigned(json!({"alg": "nOnE"}), b"")),
        ("alg none, signed", unsigned(json!({"alg": "none"}), b"signature")),
        ("no alg", signed(&json!({"typ": "JWT"}), &claims(), SECRET.as_bytes())),
        ("alg null", headed(json!({"alg": null}))),
        ("alg a list", headed(json!({"alg": ["HS256"]}))),
        ("alg empty", headed(json!({"alg": ""}))),
        ("alg in lower case", headed(json!({"alg": "hs256"}))),
        ("alg with a blank", headed(json!({"alg": "HS256 "}))),
        ("alg HS512 over a signature of HS256", headed(json!({"alg": "HS512"}))),
        ("alg RS256 over a signature of HS256", headed(json!({"alg": "RS256", "kid": "rsa"}))),
        ("the public key as a secret", hs("rsa", public)),
        ("the public key without its end", hs("rsa", public.trim_ascii())),
        ("the modulus as a secret", hs("rsa", &modulus)),
        ("the JWK as a secret", hs("rsa", rsa.to_string().as_bytes())),
        ("the key's x as a secret", hs("ed", jwks["keys"][2]["x"].as_str().unwrap().as_bytes())),
        ("an empty secret", hs("", b"")),
        ("a secret of zeros", signed(&json!({"alg": "HS256"}), &claims(), &[0; 32])),
        ("a usual secret", signed(&json!({"alg": "HS256"}), &claims(), b"secret")),
        ("a path for a kid", hs("../../../../dev/null", b"")),
        ("a query for a kid", hs("x' UNION SELECT 'key", b"key")),
        ("a command for a kid", hs("key; sleep 5", b"key")),
        ("an address for a kid", hs(stranger, b"key")),
        ("a kid with a NUL", hs("rsa\0", b"key")),
        ("a long kid", hs(&"k".repeat(4_000), b"key")),
        ("ES256, all zeros", unsigned(json!({"alg": "ES256", "kid": "ec"}), &[0; 64])),
        ("ES256, empty", unsigned(json!({"alg": "ES256", "kid": "ec"}), b"")),
        ("ES256, DER of zeros", unsigned(json!({"alg": "ES256", "kid": "ec"}), &[0x30, 6, 2, 1, 0, 2, 1, 0])),
        ("EdDSA, all zeros", unsigned(json!({"alg": "EdDSA", "kid": "ed"}), &[0; 64])),
        ("RS256, all zeros", unsigned(json!({"alg": "RS256", "kid": "rsa"}), &[0; 256])),
        ("RS256, empty", unsigned(json!({"alg": "RS256", "kid": "rsa"}), b"")),
        ("PS256, all zeros", unsigned(json!({"alg": "PS256", "kid": "rsa"}), &[0; 256])),
        ("a signature cut short", good[..good.len() - 2].to_owned()),
        ("a bit of the signature flipped", format!("{text}.{flipped}")),
        ("spare bits of the signature set", format!("{text}.{}{other}", &signature[..signature.len() - 1])),
        ("other claims under a true signature", format!("{head}.{swapped}.{signature}")),
        ("no signature", format!("{text}.")),
        ("two parts", text.to_owned()),
        ("one part", head.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("five parts, as if encrypted", format!("{head}.{head}.{body}.{body}.{signature}")),
        ("empty parts", "..".to_owned()),
        ("padded", format!("{head}=.{body}=.{signature}=")),
        (
            "in the other alphabet",
            format!("{head}.{body}.{}", STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap())),
        ),
        (
            "padded in the right alphabet",
            format!("{head}.{body}.{}", URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap())),
        ),
        ("a blank inside", format!("{head}. {body}.{signature}")),
        ("percent-encoded", good.replace('.', "%2e")),
        ("twice", format!("{good}{good}")),
        ("two, with a comma", format!("{good}, {good}")),
        ("quoted", format!("\"{good}\"")),
        ("JSON instead", json!({"payload": body, "signature": signature, "protected": head}).to_string()),
        ("far too long", claiming(json!({"more": "x".repeat(20_000)}))),
    ]
}

fn headers(stranger: &str) -> Vec<(&'static str, String)> {
    let key = json!({"kty": "oct", "k": encoded(b"mine")});
    let mine = |header: Value| {
        let mut whole = json!({"alg": "HS256"});
        whole.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        signed(&whole, &claims(), b"mine")
    };
    vec![
        ("a key of its own", mine(json!({"jwk": key}))),
        ("an address of keys", mine(json!({"jku": format!("{stranger}/jwks.json")}))),
        ("an address of a certificate", mine(json!({"x5u": format!("{stranger}/cert.pem")}))),
        ("a certificate of its own", mine(json!({"x5c": ["MIIB"]}))),
        ("an address and a kid", mine(json!({"jku": format!("{stranger}/jwks.json"), "kid": "unheard of"}))),
        ("something critical", headed(json!({"crit": ["exp"]}))),
        ("something critical that nobody knows", headed(json!({"crit": ["x"], "x": 1}))),
        ("nothing critical", headed(json!({"crit": []}))),
        ("no base64", headed(json!({"b64": false, "crit": ["b64"]}))),
        ("a header that is a list", signed_text("[\"HS256\"]", &claims().to_string(), SECRET.as_bytes())),
        ("a header that is no JSON", signed_text("alg=HS256", &claims().to_string(), SECRET.as_bytes())),
        ("a header of nothing", signed_text("", &claims().to_string(), SECRET.as_bytes())),
        (
            "a header said twice",
            signed_text(r#"{"alg":"none","alg":"HS256"}"#, &claims().to_string(), SECRET.as_bytes()),
        ),
    ]
}

fn contents() -> Vec<(&'static str, String)> {
    let text = |claims: &str| signed_text(r#"{"alg":"HS256"}"#, claims, SECRET.as_bytes());
    vec![
        ("expired", claiming(json!({"exp": 1_700_000_000}))),
        ("without an end", claiming(json!({"exp": "(absent)"}))),
        ("an end that is null", claiming(json!({"exp": null}))),
        ("an end that is a text", claiming(json!({"exp": "1893456000"}))),
        ("an end that is a list", claiming(json!({"exp": [1_893_456_000]}))),
        ("an end before time", claiming(json!({"exp": -1}))),
        ("an end that is true", claiming(json!({"exp": true}))),
        ("not begun", claiming(json!({"nbf": 1_890_000_000}))),
        ("a beginning that is a text", claiming(json!({"nbf": "0"}))),
        ("nobody's", claiming(json!({"iss": "(absent)"}))),
        ("another's", claiming(json!({"iss": "https://evil.example"}))),
        ("another's that begins alike", claiming(json!({"iss": "https://id.journeys.example.evil"}))),
        ("another's in another case", claiming(json!({"iss": "HTTPS://ID.JOURNEYS.EXAMPLE"}))),
        ("for nobody", claiming(json!({"aud": "(absent)"}))),
        ("for others", claiming(json!({"aud": "other"}))),
        ("for none of a list", claiming(json!({"aud": []}))),
        ("for others of a list", claiming(json!({"aud": ["a", "gateways"]}))),
        ("for a number", claiming(json!({"aud": 1}))),
        ("about nobody", claiming(json!({"sub": "(absent)"}))),
        ("about an empty name", claiming(json!({"sub": ""}))),
        ("about a number", claiming(json!({"sub": 1}))),
        ("about null", claiming(json!({"sub": null}))),
        ("about a line break", claiming(json!({"sub": "ann\n"}))),
        ("about a NUL", claiming(json!({"sub": "ann\0"}))),
        ("about a very long name", claiming(json!({"sub": "a".repeat(300)}))),
        ("claims that are a list", text("[]")),
        ("claims that are no JSON", text("sub=ann")),
        ("claims of nothing", text("")),
        ("claims that are another credential", text(&claiming(json!({})))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_forgery_gets_the_same_answer_and_asks_nobody() {
    let jwks = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/access/tests/keys/jwks.json");
    let world = World::with(&[("AUTH__JWKS", jwks)]).await;
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", stranger.local_addr().unwrap());
    let send = |credential: String| {
        let request = world.request("POST", &diagnosis_path("acme")).json(&json!({"content": []}));
        request.header("X-Request-Id", "the-same-request").by(&credential)
    };
    assert_eq!(send(claiming(json!({}))).send().await.status, 200, "what the forgeries are made of is true");
    assert_eq!(send(headed(json!({"typ": "at+jwt"}))).send().await.status, 200);
    let none = world.request("POST", &diagnosis_path("acme")).json(&json!({"content": []}));
    let mut want = none.header("X-Request-Id", "the-same-request").send().await;
    want.headers.retain(|(name, _)| name != "date");
    assert_eq!(want.refusal(), (401, "unauthenticated".to_owned()));
    let forgeries = [signatures(&address), headers(&address), contents()].concat();
    assert!(forgeries.len() >= 90, "{}", forgeries.len());
    for (name, forgery) in forgeries {
        let mut answer = send(forgery).send().await;
        // One that is longer than a header may be is no credential at all.
        if name == "far too long" && answer.status == 431 {
            continue;
        }
        answer.headers.retain(|(name, _)| name != "date");
        assert_eq!(
            (answer.status, &answer.headers, answer.text()),
            (want.status, &want.headers, want.text()),
            "{name}"
        );
    }
    assert_eq!(world.backend.calls(), 2);
    let asked = tokio::time::timeout(std::time::Duration::from_millis(300), stranger.accept()).await;
    assert!(asked.is_err(), "a credential made the gateway call its author");
    world.end().await;
}
