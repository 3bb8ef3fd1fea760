//! Management, its audit trail, and what the operators keep.

use serde_json::{Value, json};

use super::World;

const MANAGEMENT: &str = "/api/organizations/acme/usage/management";

async fn manage(world: &World, body: &Value) -> super::Answered {
    world.call("adam", "PUT", MANAGEMENT, Some(body.to_string())).await
}

#[tokio::test]
async fn management_shows_what_the_front_end_reads() {
    let world = World::new().await;
    let management = &world.get("olga", "/management").await.good()["management"];
    assert_eq!(management["organization"]["id"], "acme");
    assert_eq!((&management["plan"]["plan"], &management["plan"]["monthlyCredits"]), (&json!("free"), &json!(100)));
    let usage = json!({ "totalCredits": 100, "usedCredits": 0, "remainingCredits": 100, "percentageUsed": 0,
        "isNearLimit": false, "isOverLimit": false, "warningThreshold": 80, "heldCredits": 0, "totalEvents": 0,
        "projectedEndOfMonthUsage": 0, "willExceedLimit": false, "resetsAt": "2026-12-01T00:00:00.000Z" });
    assert_eq!(management["currentUsage"], usage);
    assert_eq!(
        management["usagePatterns"],
        json!({ "peakUsageDay": null, "averageDailyUsage": 0, "consistencyScore": 0 })
    );
    assert_eq!(management["trends"].as_array().unwrap().len(), 3);
    assert_eq!(management["warnings"], json!([]));
    let all = json!({ "canModifyLimits": true, "canViewUsage": true, "canManagePlan": true, "canViewBilling": true });
    assert_eq!(management["permissions"], all);
    let billing = &world.get("bill", "/management").await.good()["management"]["permissions"];
    assert_eq!((&billing["canModifyLimits"], &billing["canViewUsage"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn a_change_is_in_force_and_audited_when_its_answer_arrives() {
    let world = World::new().await;
    let body = json!({ "usageLimits": { "monthlyCredits": 50.5, "aiCallsPerMonth": 7 }, "alertThresholds": { "warning": 70 },
        "autoScaling": { "enabled": true } });
    let management = &manage(&world, &body).await.good()["management"];
    assert_eq!(management["usageLimits"], json!({ "monthlyCredits": 50.5, "aiCallsPerMonth": 7 }));
    assert_eq!(management["alertThresholds"], json!({ "warning": 70, "critical": 95 }));
    assert_eq!(management["autoScaling"], json!({ "enabled": true }));
    assert_eq!(management["currentUsage"]["totalCredits"], 50.5);
    let counter = &world.get("olga", "").await.good()["usage"];
    assert_eq!(
        (&counter["limit"], &counter["warningThreshold"], &counter["calls"]["limit"]),
        (&json!(50.5), &json!(70), &json!(7))
    );
    manage(&world, &json!({ "usageLimits": null })).await.good();
    assert_eq!(world.get("olga", "").await.good()["usage"]["limit"], 100);

    let audit = world.get("bill", "/audit?limit=1").await.good();
    let entry = &audit["entries"][0];
    let actor = json!({ "userId": "adam", "role": "admin", "remoteAddress": "127.0.0.1", "requestId": "the-request" });
    assert_eq!((&entry["actor"], &entry["at"]), (&actor, &json!("2026-11-24T12:00:00.000Z")));
    assert_eq!((&entry["action"], &entry["target"]), (&json!("usage_limits.update"), &json!("organization:acme")));
    let values = (&entry["oldValue"], &entry["newValue"]);
    assert_eq!(values, (&json!({ "monthlyCredits": 50.5, "aiCallsPerMonth": 7 }), &json!({})));
    let mut seen = vec![entry["id"].as_i64().unwrap()];
    let mut next = audit["cursor"].as_i64();
    while let Some(cursor) = next {
        let page = world.get("bill", &format!("/audit?limit=2&cursor={cursor}")).await.good();
        seen.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_i64().unwrap()));
        next = page["cursor"].as_i64();
    }
    // One organisation, five members, four changes of management.
    assert_eq!(seen.len(), 10);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    for query in ["limit=0", "limit=101", "cursor=0", "cursor=x", "before=1"] {
        world.get("bill", &format!("/audit?{query}")).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_change_with_a_fault_changes_nothing_and_names_the_field() {
    let world = World::new().await;
    let cases = [
        (json!({}), "usageLimits, alertThresholds, autoScaling"),
        (json!({ "plan": "enterprise" }), "plan"),
        (json!({ "usageLimits": { "credits": 5 } }), "usageLimits.credits"),
        (
            json!({ "usageLimits": { "monthlyCredits": -2 } }),
            "usageLimits.monthlyCredits: a limit is -1 (unlimited), 0 or more",
        ),
        (json!({ "usageLimits": { "monthlyCredits": -1.5 } }), "usageLimits.monthlyCredits"),
        (json!({ "usageLimits": { "monthlyCredits": "5" } }), "usageLimits.monthlyCredits"),
        (
            json!({ "usageLimits": { "aiCallsPerMonth": -2 } }),
            "usageLimits.aiCallsPerMonth: a count is -1 (unlimited), 0 or more",
        ),
        (json!({ "usageLimits": { "storageLimit": 1.5 } }), "usageLimits.storageLimit"),
        (json!({ "usageLimits": 5 }), "usageLimits"),
        (
            json!({ "alertThresholds": { "warning": 0 } }),
            "alertThresholds.warning: a threshold is a whole percentage from 1 to 100",
        ),
        (json!({ "alertThresholds": { "critical": 101 } }), "alertThresholds.critical"),
        (json!({ "alertThresholds": { "other": 1 } }), "alertThresholds.other"),
        (
            json!({ "alertThresholds": { "warning": 96 } }),
            "alertThresholds.critical: 95 is less than warning; allowed: 96 to 100",
        ),
        (json!({ "alertThresholds": { "critical": 79 } }), "alertThresholds.critical: 79 is less than warning"),
        (json!({ "alertThresholds": [70, 80] }), "alertThresholds: invalid type: sequence, expected an object"),
        (json!({ "usageLimits": [50] }), "usageLimits: invalid type: sequence, expected an object"),
        (json!({ "autoScaling": true }), "autoScaling: invalid type: boolean `true`, expected an object"),
        (json!({ "autoScaling": [true] }), "autoScaling: invalid type: sequence, expected an object"),
        (json!({ "autoScaling": { "enabled": 1 } }), "autoScaling.enabled"),
        (
            json!({ "autoScaling": { "enabeld": true } }),
            "autoScaling.enabeld: unknown field `enabeld`, expected one of `enabled`, `threshold`, `increment`",
        ),
        (json!({ "autoScaling": { "threshold": 101 } }), "autoScaling.threshold: a threshold is a whole percentage"),
        (json!({ "autoScaling": { "increment": -1 } }), "autoScaling.increment: an amount is 0 to 1000000000"),
        (json!({ "autoScaling": { "maxMonthlyCredits": -2 } }), "autoScaling.maxMonthlyCredits: a limit is -1"),
        (
            json!({ "autoScaling": { "maxMonthlyCredits": 1_000_000_001 } }),
            "autoScaling.maxMonthlyCredits: a limit is -1 (unlimited) or 0 to 1000000000",
        ),
        (json!([]), "The body is wrong: invalid type: sequence, expected an object"),
        (json!([null, null, null]), "The body is wrong: invalid type: sequence, expected an object"),
    ];
    for (body, part) in cases {
        let sentence = manage(&world, &body).await.refused(400, "invalid_request");
        assert!(sentence.contains(part), "{body}: {sentence}");
    }
    world.call("adam", "PUT", MANAGEMENT, Some("{".to_owned())).await.refused(400, "invalid_json");
    let audit = world.get("olga", "/audit").await.good();
    let by_adam =
        audit["entries"].as_array().unwrap().iter().filter(|entry| entry["actor"]["userId"] == "adam").count();
    assert_eq!(by_adam, 0, "{audit}");
    for (limit, want) in [(json!(-1), json!(-1)), (json!(0), json!(0))] {
        manage(&world, &json!({ "usageLimits": { "monthlyCredits": limit } })).await.good();
        assert_eq!(world.get("olga", "").await.good()["usage"]["limit"], want);
    }
}

#[tokio::test]
async fn a_threshold_that_is_not_given_stays() {
    let world = World::new().await;
    let steps = [
        (json!({ "warning": 60 }), [60, 95]),
        (json!({ "critical": 70 }), [60, 70]),
        (json!({ "warning": 70 }), [70, 70]),
        (json!({ "warningThreshold": 71, "criticalThreshold": 99 }), [71, 99]),
        (json!({ "warning": null }), [80, 99]),
        (json!({ "critical": null, "warning": 1 }), [1, 95]),
        (json!(null), [80, 95]),
    ];
    for (given, [warning, critical]) in steps {
        let management = &manage(&world, &json!({ "alertThresholds": given })).await.good()["management"];
        assert_eq!(management["alertThresholds"], json!({ "warning": warning, "critical": critical }), "{given}");
    }
}

#[tokio::test]
async fn an_array_is_no_object_and_null_is_as_if_never_set() {
    let world = World::new().await;
    let plan = json!({ "displayName": "Team", "monthlyCredits": 7, "overageRate": 0.5, "pricing": { "monthly": 1, "annual": 9 },
        "limits": { "sessionLimit": 3 }, "features": ["sso"] });
    let made = &world.operate("PUT", "/plans/team", Some(plan.clone())).await.good()["plan"];
    assert_eq!(made["displayName"], "Team");
    let cleared =
        json!({ "displayName": null, "overageRate": null, "pricing": null, "limits": null, "features": null });
    let cleared = &world.operate("PUT", "/plans/team", Some(cleared)).await.good()["plan"];
    let want = json!({ "plan": "team", "displayName": "team", "monthlyCredits": 7, "overageRate": 0,
        "pricing": { "monthly": 0, "annual": 0 }, "limits": {}, "features": [], "version": 2 });
    assert_eq!(*cleared, want);
    let definition = json!({ "name": "Run", "category": "c", "baseCredits": 2, "complexity": { "min": 1, "max": 2 }, "features": { "f": 1 } });
    world.operate("PUT", "/event-definitions/run", Some(definition)).await.good();
    let cleared = json!({ "name": null, "category": null, "complexity": null, "features": null });
    let cleared = &world.operate("PUT", "/event-definitions/run", Some(cleared)).await.good()["eventDefinition"];
    let want = json!({ "eventType": "run", "name": "run", "category": "uncategorized", "baseCredits": 2, "complexity": null,
        "features": {}, "version": 2 });
    assert_eq!(*cleared, want);
    for (path, body, part) in [
        ("/plans/team", json!({ "monthlyCredits": null }), "monthlyCredits: null; allowed: a value"),
        ("/plans/team", json!([null, null, 5]), "The body is wrong: invalid type: sequence, expected an object"),
        ("/plans/team", json!({ "pricing": [1, 2] }), "pricing: invalid type: sequence, expected an object"),
        ("/plans/team", json!({ "limits": [1] }), "limits: invalid type: sequence, expected an object"),
        ("/event-definitions/run", json!({ "baseCredits": null }), "baseCredits: null; allowed: a value"),
        (
            "/event-definitions/run",
            json!({ "complexity": [1, 2] }),
            "complexity: invalid type: sequence, expected an object",
        ),
        ("/organizations/acme", json!(["acme", "free", "active"]), "The body is wrong: invalid type: sequence"),
        (
            "/organizations/acme",
            json!({ "name": "a", "plan": "free", "subscriptionStatus": "active", "usageLimits": [5] }),
            "usageLimits: invalid type: sequence, expected an object",
        ),
        ("/organizations/acme/members/mia", json!(["owner"]), "The body is wrong: invalid type: sequence"),
    ] {
        let sentence = world.operate("PUT", path, Some(body.clone())).await.refused(400, "invalid_request");
        assert!(sentence.contains(part), "{body}: {sentence}");
    }
}

#[tokio::test]
async fn organizations_are_made_and_changed_by_their_path() {
    let world = World::new().await;
    let path = "/organizations/new%20one";
    world.operate("GET", path, None).await.refused(404, "not_found");
    let body = json!({ "name": "New", "plan": "starter", "subscriptionStatus": "trialing", "usageLimits": { "monthlyCredits": 5 } });
    let made = world.operate("PUT", path, Some(body.clone())).await.good();
    assert_eq!(
        (&made["organization"]["organizationId"], &made["organization"]["plan"]),
        (&json!("new one"), &json!("starter"))
    );
    assert_eq!(world.operate("PUT", path, Some(body)).await.good(), made, "twice is once");
    let kept = json!({ "name": "New", "plan": "starter", "subscriptionStatus": "past_due" });
    let kept = world.operate("PUT", path, Some(kept)).await.good();
    assert_eq!(kept["organization"]["usageLimits"], json!({ "monthlyCredits": 5 }));
    let cleared = json!({ "name": "New", "plan": "starter", "subscriptionStatus": "active", "usageLimits": null });
    let cleared = world.operate("PUT", path, Some(cleared)).await.good();
    assert_eq!(cleared["organization"]["usageLimits"], json!({}));

    let unknown = json!({ "name": "New", "plan": "gold", "subscriptionStatus": "active" });
    let sentence = world.operate("PUT", path, Some(unknown)).await.refused(400, "invalid_request");
    assert!(sentence.contains("plan") && sentence.contains("enterprise, free, professional, starter"), "{sentence}");
    for body in [
        json!({ "name": "New", "plan": "free" }),
        json!({ "name": "", "plan": "free", "subscriptionStatus": "active" }),
        json!({ "name": "New", "plan": "free", "subscriptionStatus": "paused" }),
        json!({ "name": "New", "plan": "free", "subscriptionStatus": "active", "other": 1 }),
        json!({ "name": "New", "plan": "free", "subscriptionStatus": "active", "usageLimits": { "monthlyCredits": -2 } }),
    ] {
        world.operate("PUT", path, Some(body)).await.refused(400, "invalid_request");
    }
    let too_long = format!("/organizations/{}", "x".repeat(129));
    world.operate("GET", &too_long, None).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn members_come_and_go_any_number_of_times() {
    let world = World::new().await;
    let path = "/organizations/acme/members/zoe%40x";
    let member = json!({ "userId": "zoe@x", "role": "viewer", "name": "Zoe", "email": null, "monthlyCredits": null });
    for _ in 0..2 {
        let made = world.operate("PUT", path, Some(json!({ "role": "viewer", "name": "Zoe" }))).await.good();
        assert_eq!(made["member"], member);
    }
    let shown = world.operate("GET", "/organizations/acme", None).await.good();
    let members = shown["organization"]["members"].as_array().unwrap();
    assert_eq!((members.len(), &members[5]), (6, &member));
    let cleared = world.operate("PUT", path, Some(json!({ "role": "billing", "name": null }))).await.good();
    assert_eq!(cleared["member"]["name"], Value::Null);
    for removed in [true, false] {
        let gone = world.operate("DELETE", path, None).await.good();
        assert_eq!(gone["removed"], removed);
    }
    let nowhere = "/organizations/nowhere/members/zoe";
    world.operate("PUT", nowhere, Some(json!({ "role": "viewer" }))).await.refused(404, "not_found");
    world.operate("DELETE", nowhere, None).await.refused(404, "not_found");
    for body in [json!({}), json!({ "role": "king" }), json!({ "role": "viewer", "name": 5 })] {
        world.operate("PUT", path, Some(body)).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn plans_keep_what_is_not_given() {
    let world = World::new().await;
    let starter = &world.operate("GET", "/plans/starter", None).await.good()["plan"];
    assert_eq!((&starter["monthlyCredits"], &starter["overageRate"]), (&json!(1000), &json!(0.015)));
    assert_eq!(starter["pricing"], json!({ "monthly": 19, "annual": 190 }));
    // What was read can be sent back and changes nothing.
    assert_eq!(world.operate("PUT", "/plans/starter", Some(starter.clone())).await.good()["plan"], *starter);
    let more = &world.operate("PUT", "/plans/starter", Some(json!({ "monthlyCredits": 1200.5 }))).await.good()["plan"];
    assert_eq!((&more["monthlyCredits"], &more["pricing"]), (&json!(1200.5), &starter["pricing"]));

    world.operate("GET", "/plans/team", None).await.refused(404, "not_found");
    let sentence = world.operate("PUT", "/plans/team", Some(json!({}))).await.refused(400, "invalid_request");
    assert!(sentence.contains("monthlyCredits"), "{sentence}");
    let team =
        json!({ "plan": "team", "monthlyCredits": -1, "limits": { "aiCallsPerMonth": 10 }, "features": ["sso"] });
    let team = &world.operate("PUT", "/plans/team", Some(team)).await.good()["plan"];
    let want = json!({ "plan": "team", "displayName": "team", "monthlyCredits": -1, "overageRate": 0,
        "pricing": { "monthly": 0, "annual": 0 }, "limits": { "aiCallsPerMonth": 10 }, "features": ["sso"], "version": 1 });
    assert_eq!(*team, want);
    for (body, part) in [
        (json!({ "plan": "free" }), "plan"),
        (json!({ "monthlyCredits": -2 }), "monthlyCredits"),
        (json!({ "overageRate": -1 }), "overageRate"),
        (json!({ "limits": { "monthlyCredits": 5 } }), "limits.monthlyCredits"),
        (json!({ "features": vec!["x"; 65] }), "features"),
        (json!({ "other": 1 }), "other"),
    ] {
        let sentence = world.operate("PUT", "/plans/team", Some(body.clone())).await.refused(400, "invalid_request");
        assert!(sentence.contains(part), "{body}: {sentence}");
    }
    world.operate("PUT", "/plans/team", Some(json!({ "features": vec!["x"; 64] }))).await.good();
}

#[tokio::test]
async fn every_version_of_a_plan_and_a_definition_can_be_read() {
    let world = World::new().await;
    for (path, member, body) in [
        ("/plans/free", "plan", json!({ "monthlyCredits": 5 })),
        ("/event-definitions/visuals_sketch", "eventDefinition", json!({ "baseCredits": 5 })),
    ] {
        let first = world.operate("GET", path, None).await.good()[member].take();
        let second = world.operate("PUT", path, Some(body)).await.good()[member].take();
        let versions = world.operate("GET", &format!("{path}/versions"), None).await.good()["versions"].take();
        assert_eq!(versions.as_array().unwrap().len(), 2, "{path}");
        assert_eq!((&versions[0][member], &versions[1][member]), (&second, &first), "{path}");
        assert_eq!((&versions[0]["by"], &versions[0]["at"]), (&json!("root"), &json!("2026-11-24T12:00:00.000Z")));
        assert_eq!(
            (&versions[1]["by"], &versions[1]["at"]),
            (&Value::Null, &Value::Null),
            "it was there from the start"
        );
    }
    world.operate("GET", "/plans/team/versions", None).await.refused(404, "not_found");
    world.operate("GET", "/event-definitions/run/versions", None).await.refused(404, "not_found");
}

#[tokio::test]
async fn event_definitions_count_their_changes() {
    let world = World::new().await;
    let path = "/event-definitions/structuring_diagnose";
    let shown = &world.operate("GET", path, None).await.good()["eventDefinition"];
    assert_eq!((&shown["baseCredits"], &shown["complexity"]), (&json!(10), &json!({ "min": 1, "max": 2.5 })));
    assert_eq!(
        (&shown["features"], &shown["category"]),
        (&json!({ "echo": 5, "traceback": 3 }), &json!("ai_analysis"))
    );
    assert_eq!(world.operate("PUT", path, Some(shown.clone())).await.good()["eventDefinition"], *shown);
    let changed = &world.operate("PUT", path, Some(json!({ "baseCredits": 11 }))).await.good()["eventDefinition"];
    let version = shown["version"].as_i64().unwrap();
    assert_eq!((&changed["baseCredits"], changed["version"].as_i64()), (&json!(11), Some(version + 1)));
    assert_eq!(changed["features"], shown["features"]);
    let flat = &world.operate("PUT", path, Some(json!({ "complexity": null }))).await.good()["eventDefinition"];
    assert_eq!(flat["complexity"], Value::Null);

    world.operate("GET", "/event-definitions/new_call", None).await.refused(404, "not_found");
    let new = json!({ "baseCredits": 0.5, "complexity": { "min": 1, "max": 1 }, "features": { "fast": 1.25 } });
    let new = &world.operate("PUT", "/event-definitions/new_call", Some(new)).await.good()["eventDefinition"];
    assert_eq!((&new["name"], &new["version"], &new["baseCredits"]), (&json!("new_call"), &json!(1), &json!(0.5)));
    let many = |count: usize| (0..count).map(|n| (n.to_string(), json!(1))).collect::<serde_json::Map<_, _>>();
    for (body, part) in [
        (json!({ "eventType": "other" }), "eventType"),
        (json!({ "baseCredits": -1 }), "baseCredits"),
        (json!({ "complexity": { "min": 2, "max": 1 } }), "complexity"),
        (json!({ "complexity": { "min": 1 } }), "complexity"),
        (json!({ "complexity": { "min": -1, "max": 1 } }), "complexity.min"),
        (json!({ "features": { "fast": -1 } }), "features.fast"),
        (json!({ "features": { "": 1 } }), "features"),
        (json!({ "features": many(65) }), "features"),
        (json!({ "price": 1 }), "price"),
    ] {
        let sentence = world
            .operate("PUT", "/event-definitions/new_call", Some(body.clone()))
            .await
            .refused(400, "invalid_request");
        assert!(sentence.contains(part), "{body}: {sentence}");
    }
    world.operate("PUT", "/event-definitions/new_call", Some(json!({ "features": many(64) }))).await.good();
    world.operate("PUT", "/event-definitions/another", Some(json!({}))).await.refused(400, "invalid_request");
}
