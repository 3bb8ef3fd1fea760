//! The API through its router, over the real store and a clock that stands still.

mod adjustments;
mod api_keys;
mod credit_grants;
mod http;
mod live;
mod operators;
mod roles;
mod rollout;
mod usage;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use access::{Authenticator, KeySource};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ledger::{
    ChargeItem, Clock as _, Credits, ManualClock, Outcome, Period, PluginIdentity, Signals, Timestamp, UsageEvent,
    UsageEventId,
};
use serde_json::{Value, json};
use store::{Occupancy, Store};
use tower::ServiceExt as _;

use crate::{Context, Live, NoGateway, NoLiveBook, Origin};

const SECRET: &[u8] = b"a secret of thirty-two bytes!!!!";
const NOW: &str = "2026-11-24T12:00:00Z";
/// Members of `acme`; `olga` owns `other` besides.
const MEMBERS: [(&str, &str); 5] =
    [("olga", "owner"), ("adam", "admin"), ("mia", "member"), ("vic", "viewer"), ("bill", "billing")];

/// An API with two organisations, `acme` with a member in every role and `other` with its own owner `otto`.
struct World {
    router: Router,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

/// An answer.
struct Answered {
    status: u16,
    response: Response<()>,
    text: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer's JSON, which must be a success.
    #[track_caller]
    fn good(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.json()["success"], true, "{}", self.text);
        self.json()
    }

    /// The sentence of a refusal with this status and code.
    #[track_caller]
    fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!((self.status, self.json()["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.json()["success"], false);
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

impl World {
    async fn new() -> Self {
        Self::with(Arc::new(NoLiveBook)).await
    }

    /// A world whose API sees a gateway.
    async fn with(live: Arc<dyn Live>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("usage.db").display());
        let options = store::Options { url, readers: 1, occupancy: Occupancy::Companion };
        let store = store::open(options).await.unwrap();
        let clock = Arc::new(ManualClock::at(NOW.parse().unwrap()));
        let keys = vec![KeySource::Secret(SECRET.to_vec())];
        let authenticator =
            Authenticator::start(access::Options::new("issuer", "audience", keys), clock.clone()).unwrap();
        let plugins = pricing::Options::new("no-plugin-of-the-configuration");
        let router = crate::router(Arc::new(Context {
            directory: store.clone(),
            rollouts: store.clone(),
            usage: store.clone(),
            adjustments: store.clone(),
            credit_grants: store.clone(),
            api_keys: store.clone(),
            authenticator,
            clock: clock.clone(),
            live,
            pricing: Arc::new(NoGateway::new(plugins, vec!["structuring_diagnose".parse().unwrap()])),
        }));
        let world = Self { router, store, clock, _folder: folder };
        for id in ["acme", "other"] {
            let body = json!({ "name": id, "plan": "free", "subscriptionStatus": "active" });
            world.operate("PUT", &format!("/organizations/{id}"), Some(body)).await.good();
        }
        for (user, role) in MEMBERS {
            let body =
                json!({ "role": role, "name": format!("Name of {user}"), "email": format!("{user}@acme.example") });
            world.operate("PUT", &format!("/organizations/acme/members/{user}"), Some(body)).await.good();
        }
        world.operate("PUT", "/organizations/other/members/otto", Some(json!({ "role": "owner" }))).await.good();
        world
    }

    /// An operator's `POST` with an `Idempotency-Key`; none where it is empty.
    async fn post(&self, path: &str, key: &str, body: &Value) -> Answered {
        let mut request = self.request("root", "POST", &format!("/api/admin{path}"));
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answered { status: parts.status.as_u16(), response: Response::from_parts(parts, ()), text }
    }

    /// A request on a path as a user; one whose name is `root` is an operator.
    async fn call(&self, user: &str, method: &str, path: &str, body: Option<String>) -> Answered {
        let request = self.request(user, method, path).body(body.map_or_else(Body::empty, Body::from)).unwrap();
        self.send(request).await
    }

    fn request(&self, user: &str, method: &str, path: &str) -> axum::http::request::Builder {
        let origin = Origin {
            request_id: "the-request".parse().unwrap(),
            remote_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        };
        let credential = format!("Bearer {}", self.credential(user));
        Request::builder().method(method).uri(path).header("authorization", credential).extension(origin)
    }

    fn credential(&self, user: &str) -> String {
        let expires = self.clock.now().millis() / 1_000 + 600;
        let claims = json!({ "iss": "issuer", "aud": "audience", "sub": user, "exp": expires, "platform_admin": user == "root" });
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
    }

    /// `GET` on one of `acme`'s usage paths.
    async fn get(&self, user: &str, path: &str) -> Answered {
        self.call(user, "GET", &format!("/api/organizations/acme/usage{path}"), None).await
    }

    /// An operator's request below `/api/admin`.
    async fn operate(&self, method: &str, path: &str, body: Option<Value>) -> Answered {
        self.call("root", method, &format!("/api/admin{path}"), body.map(|body| body.to_string())).await
    }

    /// Writes events into the store.
    async fn record(&self, events: &[UsageEvent]) {
        let new = self.store.apply(events).await.unwrap();
        assert_eq!(new, u64::try_from(events.len()).unwrap());
    }
}

/// An event of `acme`.
fn event(at: &str, user: &str, event_type: &str, credits: i64) -> UsageEvent {
    let at: Timestamp = at.parse().unwrap();
    let credits = Credits::from_whole(credits).unwrap();
    UsageEvent {
        id: UsageEventId::new(at),
        organization_id: "acme".parse().unwrap(),
        user_id: user.parse().unwrap(),
        event_type: event_type.parse().unwrap(),
        event_name: format!("Name of {event_type}"),
        category: if event_type.starts_with("visuals") { "ai_visual" } else { "ai_analysis" }.to_owned(),
        definition_version: 1,
        occurred_at: at,
        settled_at: at.plus_millis(1_500),
        outcome: Outcome::Captured,
        credits,
        held: credits,
        items: vec![ChargeItem { label: "base".to_owned(), credits }],
        plugin: Arc::new(PluginIdentity {
            name: "standard".to_owned(),
            version: "1.0.0".to_owned(),
            sha256: "ab".repeat(32),
        }),
        signals: Signals { text_units: 1_234, item_count: 2, flags: vec!["echo".to_owned()], ..Signals::default() },
        plan: None,
        answer: None,
        session_id: None,
        request_id: "req_1".parse().unwrap(),
        endpoint: "/api/organizations/{orgId}/structuring/analyze-pain-points".into(),
        upstream_status: Some(200),
        adjustment: None,
    }
}

/// The month of the tests.
fn month() -> Period {
    Period::of(NOW.parse().unwrap())
}
