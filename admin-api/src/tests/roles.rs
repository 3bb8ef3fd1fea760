//! Who may do what: every route that is listed, for every role, for strangers, operators and nobody.

use axum::body::Body;
use axum::http::Request;

use super::{MEMBERS, World, event};
use crate::guard::Needs;

/// A route with an answer for each of the five roles, then for a stranger and an operator, with a body that is good.
type Row = (&'static str, &'static str, &'static str, [u16; 7]);

const USAGE: &str = "/api/organizations/acme/usage";
const ADMIN: &str = "/api/admin";

const TABLE: [Row; 30] = [
    //                                        owner admin member viewer billing stranger operator
    ("GET", "", "", [200, 200, 403, 403, 200, 403, 403]),
    ("GET", "/me", "", [200, 200, 200, 200, 200, 403, 403]),
    ("GET", "/dashboard", "", [200, 200, 403, 403, 200, 403, 403]),
    ("GET", "/history", "", [200, 200, 200, 200, 200, 403, 403]),
    ("GET", "/history?userId=mia", "", [200, 200, 200, 403, 200, 403, 403]),
    ("GET", "/history?userId=vic", "", [200, 200, 403, 200, 200, 403, 403]),
    ("GET", "/events/MIAS", "", [200, 200, 200, 403, 200, 403, 403]),
    ("GET", "/events/evt_0", "", [404, 404, 404, 404, 404, 403, 403]),
    ("GET", "/management", "", [200, 200, 403, 403, 200, 403, 403]),
    ("PUT", "/management", r#"{"usageLimits": {}}"#, [200, 200, 403, 403, 403, 403, 403]),
    ("GET", "/audit", "", [200, 200, 403, 403, 200, 403, 403]),
    ("POST", "/quote", r#"{"eventType": "structuring_diagnose"}"#, [404, 404, 404, 404, 404, 403, 403]),
    ("GET", "/keys", "", [200, 200, 403, 403, 403, 403, 403]),
    ("POST", "/keys", r#"{"name": "k"}"#, [200, 200, 403, 403, 403, 403, 403]),
    ("DELETE", "/keys/gwk_0123456789abcdef", "", [200, 200, 403, 403, 403, 403, 403]),
    ("GET", "ADMIN/organizations/acme/api-keys", "", [403, 403, 403, 403, 403, 403, 200]),
    ("POST", "ADMIN/organizations/acme/api-keys", r#"{"name": "k"}"#, [403, 403, 403, 403, 403, 403, 200]),
    ("DELETE", "ADMIN/organizations/acme/api-keys/gwk_0123456789abcdef", "", [403, 403, 403, 403, 403, 403, 200]),
    ("GET", "ADMIN/organizations/acme", "", [403, 403, 403, 403, 403, 403, 200]),
    (
        "PUT",
        "ADMIN/organizations/acme",
        r#"{"name": "a", "plan": "free", "subscriptionStatus": "active"}"#,
        [403, 403, 403, 403, 403, 403, 200],
    ),
    ("PUT", "ADMIN/organizations/acme/members/new", r#"{"role": "member"}"#, [403, 403, 403, 403, 403, 403, 200]),
    ("DELETE", "ADMIN/organizations/acme/members/new", "", [403, 403, 403, 403, 403, 403, 200]),
    ("GET", "ADMIN/plans/free", "", [403, 403, 403, 403, 403, 403, 200]),
    ("PUT", "ADMIN/plans/free", "{}", [403, 403, 403, 403, 403, 403, 200]),
    ("GET", "ADMIN/event-definitions/structuring_diagnose", "", [403, 403, 403, 403, 403, 403, 200]),
    ("PUT", "ADMIN/event-definitions/structuring_diagnose", "{}", [403, 403, 403, 403, 403, 403, 200]),
    ("GET", "ADMIN/pricing/plugins", "", [403, 403, 403, 403, 403, 403, 200]),
    ("POST", "ADMIN/pricing/plugins", "{}", [403, 403, 403, 403, 403, 403, 400]),
    ("POST", "ADMIN/pricing/rollout", "{}", [403, 403, 403, 403, 403, 403, 400]),
    ("GET", "ADMIN/pricing/steps", "", [403, 403, 403, 403, 403, 403, 200]),
];

fn path_of(path: &str, mias: &str) -> String {
    let path = path.replace("MIAS", mias);
    path.strip_prefix("ADMIN").map_or_else(|| format!("{USAGE}{path}"), |path| format!("{ADMIN}{path}"))
}

#[tokio::test]
async fn the_table_of_roles_holds_on_every_path() {
    let world = World::new().await;
    let mias = event("2026-11-20T10:00:00Z", "mia", "structuring_diagnose", 28);
    world.record(std::slice::from_ref(&mias)).await;
    let callers: Vec<&str> = MEMBERS.iter().map(|(user, _)| *user).chain(["otto", "root"]).collect();
    for (method, path, body, want) in TABLE {
        let path = path_of(path, &mias.id.to_string());
        for (caller, want) in callers.iter().zip(want) {
            let answered = world.call(caller, method, &path, Some(body.to_owned())).await;
            assert_eq!(answered.status, want, "{caller}: {method} {path}: {}", answered.text);
        }
    }
    world.operate("GET", "/pricing", None).await.good();
    assert_eq!(world.call("olga", "GET", "/api/admin/pricing", None).await.status, 403);
}

#[tokio::test]
async fn nobody_reaches_a_route_without_a_credential() {
    let world = World::new().await;
    let mut routes = 0;
    for (needs, (_, paths, _)) in crate::routes::list() {
        for (path, item) in &paths.paths {
            let methods = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
            for (method, _) in methods.into_iter().filter(|(_, operation)| operation.is_some()) {
                let path = path.replace("{orgId}", "acme").replace(['{', '}'], "");
                // The body and the query would be refused too: who is calling comes first.
                let request = Request::builder().method(method).uri(format!("{path}?month=x&limit=0"));
                let answered = world.send(request.body(Body::from("nonsense")).unwrap()).await;
                answered.refused(401, "unauthenticated");
                assert_eq!(answered.header("www-authenticate"), "Bearer", "{method} {path}");
                // And being somebody, but not the right one, comes before the body.
                let stranger =
                    world.call("otto", method, &format!("{path}?month=x"), Some("nonsense".to_owned())).await;
                stranger.refused(403, "forbidden");
                assert!(path.starts_with("/api/admin/") == (needs == Needs::Operator), "{path}");
                routes += 1;
            }
        }
    }
    assert_eq!(routes, 35);
}

#[tokio::test]
async fn an_organization_that_does_not_exist_reads_like_one_of_strangers() {
    let world = World::new().await;
    for path in ["usage", "usage/me", "usage/dashboard?month=x", "usage/history?limit=0", "usage/events/evt_0"] {
        let [strange, unknown, impossible] =
            ["other", "nowhere", "x%00y"].map(|id| format!("/api/organizations/{id}/{path}"));
        let strange = world.call("olga", "GET", &strange, None).await;
        strange.refused(403, "forbidden");
        for path in [unknown, impossible] {
            let answered = world.call("olga", "GET", &path, None).await;
            assert_eq!((answered.status, &answered.text), (strange.status, &strange.text), "{path}");
        }
    }
}

#[tokio::test]
async fn a_role_that_changes_changes_at_once() {
    let world = World::new().await;
    world.get("mia", "/dashboard").await.refused(403, "forbidden");
    let admin = serde_json::json!({ "role": "admin" });
    let member = world.operate("PUT", "/organizations/acme/members/mia", Some(admin)).await.good();
    assert_eq!(member["member"]["name"], "Name of mia", "what is absent stays");
    world.get("mia", "/dashboard").await.good();
    world.operate("DELETE", "/organizations/acme/members/mia", None).await.good();
    world.get("mia", "/me").await.refused(403, "forbidden");
}
