//! What is believed and what is not. Rotation has its own file.

use jsonwebtoken::{EncodingKey, encode};
use ledger::{ManualClock, Timestamp};
use serde_json::{Value, json};

use super::*;

mod rotation;

const JWKS: &str = include_str!("../../tests/keys/jwks.json");
const RSA: &[u8] = include_bytes!("../../tests/keys/rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("../../tests/keys/rsa.pub.pem");
const EC: &[u8] = include_bytes!("../../tests/keys/ec.pem");
const ED: &[u8] = include_bytes!("../../tests/keys/ed.pem");
const SECRET: &[u8] = b"a shared secret of thirty-two bytes or more";
const NOW_S: i64 = 1_764_000_000;

struct Setting {
    authenticator: Arc<Authenticator>,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

fn setting(change: impl FnOnce(&mut Options)) -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, JWKS).unwrap();
    let keys = vec![KeySource::File(file), KeySource::Secret(SECRET.to_vec())];
    let mut options = Options::new("https://id.example", "gateway", keys);
    change(&mut options);
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(NOW_S * 1_000)));
    let authenticator = Authenticator::start(options, clock.clone()).unwrap();
    Setting { authenticator, clock, _folder: folder }
}

fn claims() -> Value {
    json!({"sub": "alice", "iss": "https://id.example", "aud": "gateway", "exp": NOW_S + 300, "name": "Alice"})
}

fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn signed(algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let key = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(RSA).unwrap(),
        Algorithm::ES256 => EncodingKey::from_ec_pem(EC).unwrap(),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(ED).unwrap(),
        _ => EncodingKey::from_secret(SECRET),
    };
    let mut header = jsonwebtoken::Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, &key).unwrap()
}

/// A credential with any header at all, signed with the secret.
fn with_header(header: &Value, claims: &Value, key: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(key), Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

/// A credential whose claims are any text at all, signed with the secret.
fn hs_bytes(claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn hs_text(claims: &str) -> String {
    hs_bytes(claims.as_bytes())
}

/// CVE-2022-21449: a signature of zeros must not verify.
fn zeros(header: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(&claims()), URL_SAFE_NO_PAD.encode([0; 64]))
}

async fn identify(setting: &Setting, credential: &str) -> Result<Arc<Identity>, Unauthenticated> {
    let authorization = format!("Bearer {credential}");
    setting.authenticator.identify(Presented { authorization: Some(authorization.as_bytes()), cookies: &[] }).await
}

#[tokio::test]
async fn every_kind_of_key_verifies_its_own_credentials() {
    let setting = setting(|_| {});
    for (algorithm, kid) in [
        (Algorithm::RS256, Some("rsa")),
        (Algorithm::ES256, Some("ec")),
        (Algorithm::EdDSA, Some("ed")),
        (Algorithm::HS256, None),
        (Algorithm::HS256, Some("anything")),
        (Algorithm::RS256, None),
    ] {
        let identity = identify(&setting, &signed(algorithm, kid, &claims())).await.unwrap();
        assert_eq!(
            (identity.user_id.as_str(), identity.name.as_deref(), identity.platform_admin),
            ("alice", Some("Alice"), false)
        );
    }
    let operator =
        identify(&setting, &signed(Algorithm::HS256, None, &with(json!({"platform_admin": true})))).await.unwrap();
    assert!(operator.platform_admin);
}

#[tokio::test]
async fn what_is_not_exactly_right_is_refused() {
    let setting = setting(|_| {});
    let hs = |changes: Value| signed(Algorithm::HS256, None, &with(changes));
    let sound = hs(json!({}));
    let parts: Vec<&str> = sound.split('.').collect();
    let header = |changes: Value| {
        let mut header = json!({"alg": "HS256", "typ": "JWT"});
        header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        with_header(&header, &claims(), SECRET)
    };
    let cases = [
        ("nothing", String::new()),
        ("no JWT", "abc".to_owned()),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("a cut signature", sound[..sound.len() - 2].to_owned()),
        (
            "other claims under the signature",
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(with(json!({"sub": "eve"})).to_string()), parts[2]),
        ),
        ("more parts", format!("{sound}.x")),
        ("alg none", format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), parts[1])),
        ("alg NoNe", format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"NoNe"}"#), parts[1])),
        ("the public key as a secret", with_header(&json!({"alg": "HS256", "kid": "rsa"}), &claims(), RSA_PUBLIC)),
        ("a key of another algorithm", signed(Algorithm::ES256, Some("rsa"), &claims())),
        ("an unknown key", signed(Algorithm::RS256, Some("other"), &claims())),
        ("critical extensions", header(json!({"crit": ["exp"]}))),
        ("an unencoded payload", header(json!({"crit": ["b64"], "b64": false}))),
        ("no critical extensions", header(json!({"crit": []}))),
        ("alg in small letters", header(json!({"alg": "hs256"}))),
        ("an alg that the signature is not", header(json!({"alg": "ES256", "kid": "ec"}))),
        ("PS256 with an RSA key", header(json!({"alg": "PS256", "kid": "rsa"}))),
        ("RS512 with an RSA key", header(json!({"alg": "RS512", "kid": "rsa"}))),
        ("no alg", with_header(&json!({"typ": "JWT"}), &claims(), SECRET)),
        ("a kid that is no text", header(json!({"kid": 1}))),
        ("a kid that is a path", signed(Algorithm::RS256, Some("../../dev/null"), &claims())),
        ("a header that is a list", with_header(&json!(["HS256"]), &claims(), SECRET)),
        ("claims that are a list", with_header(&json!({"alg": "HS256"}), &json!([claims()]), SECRET)),
        ("an ES256 signature of zeros", zeros(&json!({"alg": "ES256", "kid": "ec"}))),
        ("an EdDSA signature of zeros", zeros(&json!({"alg": "EdDSA", "kid": "ed"}))),
        (
            "its own key",
            with_header(
                &json!({"alg": "HS256", "jwk": {"kty": "oct", "k": URL_SAFE_NO_PAD.encode("mine")}}),
                &claims(),
                b"mine",
            ),
        ),
        (
            "the same claim twice",
            hs_text(&claims().to_string().replace("\"sub\":\"alice\"", "\"sub\":\"alice\",\"sub\":\"eve\"")),
        ),
        (
            "claims too deep to read",
            hs_text(&claims().to_string().replace("\"Alice\"", &format!("{}{}", "[".repeat(300), "]".repeat(300)))),
        ),
        ("claims that are no UTF-8", hs_bytes(b"{\"sub\": \"\xff\"}")),
        ("padding", format!("{sound}=")),
        ("a blank inside", sound.replacen('.', " .", 1)),
        ("an encrypted credential", format!("{}.a.b.c.d", parts[0])),
        ("another secret", with_header(&json!({"alg": "HS256"}), &claims(), b"another secret, of the same length!!")),
        ("HS384", signed(Algorithm::HS384, None, &claims())),
        ("expired", hs(json!({"exp": NOW_S - 30}))),
        ("no exp", hs(json!({"exp": null}))),
        ("exp as text", hs(json!({"exp": (NOW_S + 300).to_string()}))),
        ("exp beyond all time", hs(json!({"exp": 1e300}))),
        ("not yet", hs(json!({"nbf": NOW_S + 31}))),
        ("nbf as text", hs(json!({"nbf": "0"}))),
        ("another issuer", hs(json!({"iss": "https://evil.example"}))),
        ("no issuer", hs(json!({"iss": null}))),
        ("issuers as a list", hs(json!({"iss": ["https://id.example"]}))),
        ("another audience", hs(json!({"aud": "other"}))),
        ("no audience", hs(json!({"aud": null}))),
        ("other audiences", hs(json!({"aud": ["other", "gateway2"]}))),
        ("no sub", hs(json!({"sub": null}))),
        ("an empty sub", hs(json!({"sub": ""}))),
        ("sub as a number", hs(json!({"sub": 1}))),
        ("sub with a line break", hs(json!({"sub": "a\nb"}))),
        ("not ASCII", "é".repeat(10)),
    ];
    for (what, credential) in cases {
        assert!(identify(&setting, &credential).await.is_err(), "{what}");
    }
    for fine in [
        json!({"aud": ["other", "gateway"]}),
        json!({"exp": NOW_S - 29}),
        json!({"nbf": NOW_S + 30}),
        json!({"exp": 1_764_000_300.5}),
    ] {
        assert!(identify(&setting, &hs(fine.clone())).await.is_ok(), "{fine}");
    }
    let embedded =
        header(json!({"jku": "http://127.0.0.1:1/", "jwk": {"kty": "oct", "k": "AAAA"}, "x5u": "http://127.0.0.1:1/"}));
    assert!(identify(&setting, &embedded).await.is_ok(), "what a credential names besides is not looked at");
    for not_true in [json!("true"), json!(1), json!([true]), json!({"true": true}), json!(false), Value::Null] {
        let not_admin = identify(&setting, &hs(json!({"platform_admin": not_true}))).await.unwrap();
        assert!(!not_admin.platform_admin, "{not_true}");
    }
    assert!(identify(&setting, &hs_text(&claims().to_string())).await.is_ok(), "so it is the claims that were refused");
}

#[tokio::test]
async fn a_credential_at_its_longest_is_read_and_a_longer_one_is_not() {
    let credential = signed(Algorithm::HS256, None, &claims());
    let length = credential.len();
    assert!(identify(&setting(|options| options.credential_bytes_max = length), &credential).await.is_ok());
    assert!(identify(&setting(|options| options.credential_bytes_max = length - 1), &credential).await.is_err());
}

#[tokio::test]
async fn a_remembered_credential_expires_when_its_time_comes() {
    let setting = setting(|_| {});
    let credential = signed(Algorithm::ES256, Some("ec"), &claims());
    assert!(identify(&setting, &credential).await.is_ok());
    setting.clock.advance_ms(329_999);
    assert!(identify(&setting, &credential).await.is_ok());
    setting.clock.advance_ms(1);
    assert_eq!(identify(&setting, &credential).await.unwrap_err().reason(), "expired");
}
