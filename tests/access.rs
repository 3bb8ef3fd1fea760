//! Who may do what: the contract's table, cell by cell.

use serde_json::json;

use crate::world::{OPERATOR, OWNER, World};

const ROLES: [&str; 5] = ["owner", "admin", "member", "viewer", "billing"];

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_roles_and_subscriptions_holds_cell_by_cell() {
    let world = World::start().await;
    for role in ROLES {
        world.member("acme", role, role).await;
    }
    let calls = [
        ("active", [200, 200, 200, 200, 200]),
        ("trialing", [200, 200, 200, 200, 200]),
        ("past_due", [200, 200, 402, 402, 200]),
        ("canceled", [402, 402, 402, 402, 402]),
    ];
    for (status, wants) in calls {
        world.organization("acme", json!({"plan": "professional", "subscriptionStatus": status})).await;
        for (role, want) in ROLES.into_iter().zip(wants) {
            let answer = world.call("acme", role).await;
            assert_eq!(answer.status, want, "{role} with {status}");
            if want == 402 {
                assert_eq!(answer.refusal().1, "billing_inactive");
            }
        }
        assert_eq!(world.call("acme", "nobody").await.refusal(), (403, "forbidden".to_owned()), "{status}");
    }
    assert_eq!(world.backend.calls(), 13);
    // What may be seen does not depend on the subscription, which is canceled by now.
    let views = [
        ("", [200, 200, 403, 403, 200]),
        ("/dashboard", [200, 200, 403, 403, 200]),
        ("/history", [200, 200, 200, 200, 200]),
        ("/history?userId=member", [200, 200, 200, 403, 200]),
        ("/management", [200, 200, 403, 403, 200]),
        ("/audit", [200, 200, 403, 403, 200]),
        ("/me", [200, 200, 200, 200, 200]),
    ];
    for (path, wants) in views {
        for (role, want) in ROLES.into_iter().zip(wants) {
            let answer = world.get(&format!("/api/organizations/acme/usage{path}"), role).await;
            assert_eq!(answer.status, want, "{role} at {path}");
        }
        assert_eq!(world.get(&format!("/api/organizations/acme/usage{path}"), "nobody").await.refusal().0, 403);
    }
    for role in ROLES {
        let own = format!("/api/organizations/acme/usage/history?userId={role}");
        assert_eq!(world.get(&own, role).await.status, 200, "{role}'s own history");
    }
    for (role, want) in ROLES.into_iter().zip([200, 200, 403, 403, 403]) {
        let body = json!({"alertThresholds": {"warning": 70}});
        let answer = world.put("/api/organizations/acme/usage/management", role, &body).await;
        assert_eq!(answer.status, want, "{role} changes");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_does_not_exist_reads_like_one_of_strangers() {
    let world = World::start().await;
    world.organization("umbrella", json!({})).await;
    let body = json!({"content": ["short"]});
    for rest in [
        "structuring/analyze-pain-points",
        "usage",
        "usage/me",
        "usage/dashboard",
        "usage/management",
        "usage/events/evt_1",
    ] {
        let mut answers = Vec::new();
        for organization in ["umbrella", "nowhere"] {
            let method = if rest.starts_with("usage") { "GET" } else { "POST" };
            let request = world.request(method, &format!("/api/organizations/{organization}/{rest}"));
            let request = request.by(&world.credential("ann")).header("X-Request-Id", "the-same-request");
            let mut answer = if method == "POST" { request.json(&body) } else { request }.send().await;
            answer.headers.retain(|(name, _)| name != "date");
            answers.push(format!("{} {:?} {}", answer.status, answer.headers, answer.text()));
        }
        assert!(answers[0].starts_with("403 "), "{}", answers[0]);
        assert_eq!(answers[0], answers[1], "{rest}");
    }
    assert_eq!(world.backend.requests(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_alone_reach_the_platforms_paths() {
    let world = World::start().await;
    let organization = json!({"name": "n", "plan": "free", "subscriptionStatus": "active"});
    let cases = [
        ("GET", "/api/admin/organizations/acme", None),
        ("PUT", "/api/admin/organizations/other", Some(organization)),
        ("PUT", "/api/admin/organizations/acme/members/eve", Some(json!({"role": "owner"}))),
        ("DELETE", "/api/admin/organizations/acme/members/ann", None),
        ("GET", "/api/admin/plans/free", None),
        ("PUT", "/api/admin/plans/free", Some(json!({"monthlyCredits": -1}))),
        ("GET", "/api/admin/event-definitions/structuring_diagnose", None),
        ("PUT", "/api/admin/event-definitions/structuring_diagnose", Some(json!({"baseCredits": 0}))),
        ("GET", "/api/admin/pricing", None),
    ];
    for (method, path, body) in &cases {
        let bare = || match body {
            Some(body) => world.request(method, path).json(body),
            None => world.request(method, path),
        };
        assert_eq!(bare().send().await.refusal().0, 401, "{method} {path}");
        for user in ["ann", OWNER] {
            assert_eq!(bare().by(&world.credential(user)).send().await.refusal().0, 403, "{method} {path} {user}");
        }
    }
    // Nothing of it happened.
    assert_eq!(world.call("acme", "ann").await.usage_headers().1, "10");
    assert_eq!(world.get("/api/admin/plans/free", OPERATOR).await.json()["plan"]["monthlyCredits"], 100);
    assert_eq!(world.backend.requests(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_credential_of_ours_is_nobodys() {
    let world = World::with(&[("AUTH__COOKIE", "session")]).await;
    let good = world.credential("ann");
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let cases = [
        ("none", Vec::new(), 401),
        ("empty", vec![("Authorization", "Bearer ".to_owned())], 401),
        ("another scheme", vec![("Authorization", format!("Basic {good}"))], 401),
        ("a forged signature", vec![("Authorization", format!("Bearer {forged}"))], 401),
        ("no signature", vec![("Authorization", format!("Bearer {head}."))], 401),
        ("two", vec![("Authorization", format!("Bearer {good}")), ("Authorization", format!("Bearer {good}"))], 401),
        ("the cookie", vec![("Cookie", format!("a=b; session={good}"))], 200),
        ("the header", vec![("Authorization", format!("Bearer {good}"))], 200),
    ];
    for (name, headers, want) in cases {
        let request = world.request("POST", &crate::world::diagnosis_path("acme")).json(&json!({"content": []}));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await;
        assert_eq!(answer.status, want, "{name}");
        if want == 401 {
            assert_eq!(answer.refusal(), (401, "unauthenticated".to_owned()), "{name}");
        }
    }
    world.at("2030-01-01T00:00:31Z");
    assert_eq!(world.call("acme", "ann").await.refusal().0, 401, "expired, the leeway over");
    world.at("2026-11-10T12:00:00Z");
    assert_eq!(world.backend.calls(), 2);
    world.end().await;
}
