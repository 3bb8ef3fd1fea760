//! Counter, own usage, dashboard, history, one event.

use ledger::{ChargeItem, Credits, Outcome, SessionId};
use serde_json::{Value, json};

use super::{World, event, month};

/// Two months of `acme`: 36 credits in October, 85 in November, and events of `other` beside them.
async fn lived_in() -> World {
    let world = World::new().await;
    let session: SessionId = "s1".parse().unwrap();
    let in_session = |mut event: ledger::UsageEvent| {
        event.session_id = Some(session.clone());
        event
    };
    let mut voided = event("2026-11-24T09:00:00Z", "vic", "visuals_sketch", 12);
    (voided.outcome, voided.credits, voided.upstream_status) = (Outcome::Voided, Credits::ZERO, Some(500));
    let mut elsewhere = event("2026-11-10T09:00:00Z", "otto", "structuring_diagnose", 77);
    elsewhere.organization_id = "other".parse().unwrap();
    elsewhere.session_id = Some(session.clone());
    world
        .record(&[
            event("2026-10-31T23:59:59.999Z", "mia", "structuring_diagnose", 36),
            in_session(event("2026-11-01T00:00:00Z", "mia", "structuring_diagnose", 28)),
            in_session(event("2026-11-10T23:59:59.999Z", "vic", "visuals_sketch", 12)),
            in_session(event("2026-11-24T08:00:00Z", "mia", "structuring_diagnose", 45)),
            voided,
            elsewhere,
        ])
        .await;
    world
}

#[tokio::test]
async fn the_counter_shows_the_present_month() {
    let world = lived_in().await;
    let usage = &world.get("olga", "").await.good()["usage"];
    let want = json!({
        "organizationId": "acme", "period": "2026-11", "limit": 100, "used": 85, "held": 0, "remaining": 15,
        "available": 15, "percentageUsed": 85, "isNearLimit": true, "isOverLimit": false, "isUnlimited": false,
        "warningThreshold": 80, "totalCredits": 100, "usedCredits": 85, "remainingCredits": 15, "heldCredits": 0,
        "calls": { "limit": -1, "used": 3, "held": 0 }, "resetsAt": "2026-12-01T00:00:00.000Z",
    });
    assert_eq!(*usage, want);
    world.clock.set(month().end());
    let next = &world.get("olga", "").await.good()["usage"];
    assert_eq!((&next["used"], &next["period"]), (&json!(0), &json!("2026-12")));
}

#[tokio::test]
async fn an_unlimited_organization_is_never_near_its_limit() {
    let world = lived_in().await;
    let body =
        json!({ "name": "a", "plan": "free", "subscriptionStatus": "active", "usageLimits": { "monthlyCredits": -1 } });
    world.operate("PUT", "/organizations/acme", Some(body)).await.good();
    let usage = &world.get("olga", "").await.good()["usage"];
    assert_eq!((&usage["limit"], &usage["remaining"], &usage["isUnlimited"]), (&json!(-1), &json!(-1), &json!(true)));
    assert_eq!((&usage["percentageUsed"], &usage["isNearLimit"]), (&json!(0), &json!(false)));
    let dashboard = &world.get("olga", "/dashboard").await.good()["dashboard"];
    assert_eq!(dashboard["limits"]["isUnlimited"], true);
    assert_eq!((&dashboard["warnings"], &dashboard["recommendations"]), (&json!([]), &json!([])));
    assert_eq!(dashboard["analytics"]["forecast"]["willExceedLimit"], false);
}

#[tokio::test]
async fn own_usage_has_nothing_of_others() {
    let world = lived_in().await;
    let usage = &world.get("vic", "/me").await.good()["usage"];
    assert_eq!((&usage["usedCredits"], &usage["totalEvents"]), (&json!(12), &json!(2)));
    assert_eq!(usage["events"]["breakdown"], json!({ "visuals_sketch": { "count": 2, "credits": 12 } }));
    assert_eq!(usage["dailyUsage"].as_array().unwrap().len(), 24);
    let before = &world.get("vic", "/me?month=2026-10").await.good()["usage"];
    assert_eq!((&before["usedCredits"], before["dailyUsage"].as_array().unwrap().len()), (&json!(0), 31));
    assert!(!usage.to_string().contains("mia"));
}

#[tokio::test]
async fn the_dashboard_has_the_shape_that_the_front_end_reads() {
    let world = lived_in().await;
    let dashboard = &world.get("bill", "/dashboard").await.good()["dashboard"];
    let overview = json!({ "totalCredits": 100, "usedCredits": 85, "remainingCredits": 15, "percentageUsed": 85,
        "isNearLimit": true, "isOverLimit": false, "warningThreshold": 80 });
    assert_eq!(dashboard["overview"], overview);
    let events = json!({
        "breakdown": { "structuring_diagnose": { "count": 2, "credits": 73 }, "visuals_sketch": { "count": 2, "credits": 12 } },
        "topEvents": [{ "eventType": "structuring_diagnose", "count": 2, "credits": 73 },
            { "eventType": "visuals_sketch", "count": 2, "credits": 12 }],
        "totalEvents": 4,
    });
    assert_eq!(dashboard["events"], events);
    let users = json!({
        "breakdown": { "mia": { "name": "Name of mia", "count": 2, "credits": 73 },
            "vic": { "name": "Name of vic", "count": 2, "credits": 12 } },
        "topUsers": [{ "id": "mia", "name": "Name of mia", "credits": 73, "count": 2, "percentage": 85.9 },
            { "id": "vic", "name": "Name of vic", "credits": 12, "count": 2, "percentage": 14.1 }],
        "totalUsers": 2,
    });
    assert_eq!(dashboard["users"], users);
    let analytics = &dashboard["analytics"];
    let days = analytics["dailyUsage"].as_array().unwrap();
    assert_eq!((days.len(), &days[0]), (24, &json!({ "date": "2026-11-01", "credits": 28, "count": 1 })));
    assert_eq!(days[1], json!({ "date": "2026-11-02", "credits": 0, "count": 0 }));
    assert_eq!(days[23], json!({ "date": "2026-11-24", "credits": 45, "count": 2 }));
    let trends = json!([{ "month": "2026-09", "credits": 0, "count": 0 }, { "month": "2026-10", "credits": 36, "count": 1 },
        { "month": "2026-11", "credits": 85, "count": 4 }]);
    assert_eq!(analytics["monthlyTrends"], trends);
    // 85 ÷ 24 × 30 = 106.25.
    assert_eq!((&analytics["dailyAverage"], &analytics["avgCreditsPerEvent"]), (&json!(3.541_667), &json!(21.25)));
    let forecast = &analytics["forecast"];
    assert_eq!((&forecast["projectedCredits"], &forecast["projectedPercentage"]), (&json!(106.25), &json!(106.3)));
    assert_eq!(
        (&forecast["willExceedLimit"], &forecast["projectedExhaustionDate"]),
        (&json!(true), &json!("2026-11-29"))
    );
    assert_eq!(
        dashboard["limits"],
        json!({ "planType": "free", "isUnlimited": false, "daysInMonth": 30, "monthlyCredits": 100 })
    );
    let meta = json!({ "organizationId": "acme", "reportMonth": "2026-11", "generatedAt": "2026-11-24T12:00:00.000Z", "generatedBy": "bill" });
    assert_eq!(dashboard["meta"], meta);
    let kinds = |list: &Value| list.as_array().unwrap().iter().map(|one| one["type"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&dashboard["warnings"]), ["near_limit", "projected_overage"]);
    assert_eq!(kinds(&dashboard["recommendations"]), ["upgrade_plan"]);
}

#[tokio::test]
async fn the_dashboard_of_another_month_is_that_months() {
    let world = lived_in().await;
    let october = &world.get("olga", "/dashboard?month=2026-10").await.good()["dashboard"];
    assert_eq!(october["overview"]["usedCredits"], 36);
    assert_eq!(october["analytics"]["dailyUsage"].as_array().unwrap().len(), 31);
    assert_eq!(october["analytics"]["monthlyTrends"][2], json!({ "month": "2026-10", "credits": 36, "count": 1 }));
    assert_eq!(october["analytics"]["forecast"]["projectedCredits"], 36);
    let empty = &world.get("olga", "/dashboard?month=2025-02").await.good()["dashboard"];
    assert_eq!((&empty["overview"]["usedCredits"], &empty["events"]["breakdown"]), (&json!(0), &json!({})));
    assert_eq!((&empty["limits"]["daysInMonth"], &empty["analytics"]["dailyAverage"]), (&json!(28), &json!(0)));
    for month in ["2026-12", "2026-13", "november", "2026-11-01", "2026"] {
        let sentence = world.get("olga", &format!("/dashboard?month={month}")).await.refused(400, "invalid_request");
        assert!(sentence.contains("month") && sentence.contains("2026-11"), "{sentence}");
    }
}

#[tokio::test]
async fn history_filters_by_everything_together() {
    let world = lived_in().await;
    let cases: [(&str, u64, i64); 20] = [
        ("", 5, 121),
        ("eventType=", 5, 121),
        ("eventType=visuals_sketch", 2, 12),
        ("userId=mia", 3, 109),
        ("category=ai_visual", 2, 12),
        ("minCredits=28", 3, 109),
        ("maxCredits=28", 3, 40),
        ("minCredits=12&maxCredits=28.5", 2, 40),
        ("minCredits=28.000001", 2, 81),
        ("sessionId=s1", 3, 85),
        ("startDate=2026-11-01", 4, 85),
        ("endDate=2026-10-31", 1, 36),
        ("endDate=2026-11-01", 2, 64),
        ("startDate=2026-11-10&endDate=2026-11-10", 1, 12),
        ("startDate=2026-11-10T23:59:59.999Z&endDate=2026-11-10T23:59:59.999Z", 1, 12),
        ("endDate=2026-11-10T23:59:59.998Z", 2, 64),
        ("startDate=2026-11-24T10:00:00%2B02:00", 2, 45),
        ("startDate=2026-11-24T10:00:00+02:00", 2, 45),
        (
            "eventType=structuring_diagnose&userId=mia&startDate=2026-11-01&category=ai_analysis&minCredits=40&maxCredits=50&sessionId=s1",
            1,
            45,
        ),
        ("userId=otto", 0, 0),
    ];
    for (query, count, credits) in cases {
        let history = world.get("olga", &format!("/history?{query}")).await.good();
        let summary = &history["summary"];
        assert_eq!((&summary["totalEvents"], &summary["totalCredits"]), (&json!(count), &json!(credits)), "{query}");
        assert_eq!(history["pagination"]["total"], json!(count), "{query}");
        assert_eq!(history["events"].as_array().unwrap().len(), usize::try_from(count).unwrap(), "{query}");
    }
}

#[tokio::test]
async fn history_refuses_what_it_cannot_read_and_says_what_it_can() {
    let world = World::new().await;
    let cases = [
        ("page=0", "page"),
        ("page=x", "page"),
        ("limit=0", "limit"),
        ("limit=101", "1 to 100"),
        ("startDate=yesterday", "startDate"),
        ("endDate=2026-02-30", "endDate"),
        ("startDate=2026-11-02&endDate=2026-11-01", "endDate"),
        ("minCredits=many", "minCredits"),
        ("minCredits=-1", "minCredits"),
        ("maxCredits=0.0000001", "maxCredits"),
        ("minCredits=2&maxCredits=1", "maxCredits"),
        ("userId=a&userId=b", "userId"),
        ("eventType=%00", "eventType"),
        ("eventTyp=a", "eventTyp is wrong: it is unknown; allowed: eventType, userId, startDate"),
        ("_=1", "_ is wrong"),
    ];
    for (query, part) in cases {
        let sentence = world.get("olga", &format!("/history?{query}")).await.refused(400, "invalid_request");
        assert!(sentence.contains(part) && sentence.contains("allowed"), "{query}: {sentence}");
    }
    world.get("olga", "/history?limit=100").await.good();
}

#[tokio::test]
async fn a_parameter_that_a_path_does_not_know_is_refused_on_every_path() {
    let world = World::new().await;
    for (path, allowed) in
        [("", "none"), ("/me", "month"), ("/dashboard", "month"), ("/management", "none"), ("/audit", "limit, cursor")]
    {
        let sentence = world.get("olga", &format!("{path}?mnth=1")).await.refused(400, "invalid_request");
        assert!(sentence.contains(&format!("mnth is wrong: it is unknown; allowed: {allowed}")), "{path}: {sentence}");
    }
    world.operate("GET", "/plans/free?x=1", None).await.refused(400, "invalid_request");
    world.get("otto", "/me?mnth=1").await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_members_history_is_their_own() {
    let world = lived_in().await;
    let own = world.get("vic", "/history").await.good();
    assert_eq!((&own["summary"]["totalEvents"], &own["filters"]), (&json!(2), &json!({ "userId": "vic" })));
    assert!(own["events"].as_array().unwrap().iter().all(|event| event["user"]["id"] == "vic"), "{own}");
    assert_eq!(own["sessions"][0]["totalCredits"], 12, "of one's own events");
    assert_eq!(world.get("vic", "/history?userId=vic").await.good(), own);
    world.get("vic", "/history?userId=mia").await.refused(403, "forbidden");
    world.get("vic", "/history?userId=vic&userId=mia").await.refused(400, "invalid_request");
}

#[tokio::test]
async fn events_of_one_millisecond_have_one_order_on_all_pages() {
    let world = World::new().await;
    let events: Vec<_> = (0..7).map(|_| event("2026-11-20T10:00:00Z", "mia", "structuring_diagnose", 1)).collect();
    world.record(&events).await;
    let mut ids: Vec<_> = events.iter().map(|event| event.id.to_string()).collect();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    let mut shown = Vec::new();
    for page in 1..=4 {
        let history = world.get("olga", &format!("/history?limit=2&page={page}")).await.good();
        shown
            .extend(history["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(shown, ids);
}

#[tokio::test]
async fn history_shows_events_sessions_pages_and_a_summary_over_all() {
    let world = lived_in().await;
    let history = world.get("olga", "/history?sessionId=s1&limit=2&page=2").await.good();
    let session = json!({ "id": "s1", "totalCredits": 85, "totalEvents": 3, "firstEventAt": "2026-11-01T00:00:00.000Z",
        "lastEventAt": "2026-11-24T08:00:00.000Z" });
    let event = &history["events"][0];
    let id = event["id"].as_str().unwrap();
    assert!(id.starts_with("evt_"));
    let want = json!({
        "id": id, "eventType": "structuring_diagnose", "eventName": "Name of structuring_diagnose",
        "category": "ai_analysis", "creditsConsumed": 28,
        "user": { "id": "mia", "name": "Name of mia", "email": "mia@acme.example" },
        "session": session,
        "eventData": { "textUnits": 1234, "itemCount": 2, "bodyBytes": 0, "flags": ["echo"], "scalars": {},
            "usage": null, "estimated": false },
        "createdAt": "2026-11-01T00:00:00.000Z", "complexity": 1,
        "endpoint": "/api/organizations/{orgId}/structuring/analyze-pain-points",
        "outcome": "captured", "held": 28, "upstreamStatus": 200, "requestId": "req_1",
    });
    assert_eq!(*event, want);
    assert_eq!(history["sessions"], json!([session]));
    let pagination = json!({ "page": 2, "limit": 2, "total": 3, "totalPages": 2, "hasNext": false, "hasPrev": true });
    assert_eq!(history["pagination"], pagination);
    assert_eq!(history["filters"], json!({ "sessionId": "s1" }));
    let range = json!({ "start": "2026-11-01T00:00:00.000Z", "end": "2026-11-24T08:00:00.000Z" });
    let summary = json!({ "totalCredits": 85, "totalEvents": 3, "uniqueUsers": 2, "dateRange": range });
    assert_eq!(history["summary"], summary);
    // Who sees only their own usage sees only their own part of a session.
    let own = world.get("vic", "/history?userId=vic&sessionId=s1").await.good();
    assert_eq!((&own["sessions"][0]["totalCredits"], &own["sessions"][0]["totalEvents"]), (&json!(12), &json!(1)));
}

#[tokio::test]
async fn one_event_is_explained_item_by_item() {
    let world = lived_in().await;
    let mut charged = event("2026-11-24T11:00:00Z", "mia", "structuring_diagnose", 28);
    let item =
        |label: &str, credits| ChargeItem { label: label.to_owned(), credits: Credits::from_whole(credits).unwrap() };
    charged.items = vec![item("base", 10), item("complexity x2.000", 10), item("echo", 5), item("traceback", 3)];
    charged.session_id = Some("s1".parse().unwrap());
    world.record(std::slice::from_ref(&charged)).await;
    let path = format!("/events/{}", charged.id);
    let shown = &world.get("olga", &path).await.good()["event"];
    assert_eq!((&shown["creditsConsumed"], &shown["complexity"], &shown["held"]), (&json!(28), &json!(2), &json!(28)));
    let items = json!([{ "label": "base", "credits": 10 }, { "label": "complexity x2.000", "credits": 10 },
        { "label": "echo", "credits": 5 }, { "label": "traceback", "credits": 3 }]);
    assert_eq!(shown["items"], items);
    assert_eq!(shown["plugin"], json!({ "name": "standard", "version": "1.0.0", "sha256": "ab".repeat(32) }));
    assert_eq!(
        (&shown["session"]["totalCredits"], &shown["settledAt"]),
        (&json!(113), &json!("2026-11-24T11:00:01.500Z"))
    );
    let own = &world.get("mia", &path).await.good()["event"];
    assert_eq!(own["session"]["totalCredits"], 101, "of one's own events");
    world.get("olga", "/events/nonsense").await.refused(404, "not_found");
    let foreign = format!("/api/organizations/other/usage/events/{}", charged.id);
    world.call("otto", "GET", &foreign, None).await.refused(404, "not_found");
}

#[tokio::test]
async fn warnings_follow_the_thresholds() {
    let world = World::new().await;
    // On the 24th of 30 days: what is added, and the warnings and recommendations that are there then.
    let steps: [(i64, &[&str], &[&str]); 5] = [
        (79, &[], &[]),
        (1, &["near_limit"], &["upgrade_plan"]),
        (1, &["near_limit", "projected_overage"], &["upgrade_plan"]),
        (14, &["critical_threshold", "projected_overage"], &["upgrade_plan"]),
        (5, &["limit_reached"], &["upgrade_plan"]),
    ];
    let kinds = |list: &Value| list.as_array().unwrap().iter().map(|one| one["type"].clone()).collect::<Vec<_>>();
    for (more, warnings, recommendations) in steps {
        world.record(&[event("2026-11-05T10:00:00Z", "mia", "structuring_diagnose", more)]).await;
        for (path, part) in [("/dashboard", "dashboard"), ("/management", "management")] {
            let shown = &world.get("olga", path).await.good()[part];
            assert_eq!(kinds(&shown["warnings"]), warnings, "{more} more on {path}");
            assert_eq!(kinds(&shown["recommendations"]), recommendations, "{more} more on {path}");
        }
    }
    let own = json!({ "name": "a", "plan": "free", "subscriptionStatus": "past_due", "usageLimits": { "monthlyCredits": 50 } });
    world.operate("PUT", "/organizations/acme", Some(own)).await.good();
    let shown = &world.get("olga", "/dashboard").await.good()["dashboard"];
    assert_eq!(kinds(&shown["warnings"]), ["limit_reached", "subscription_past_due"]);
    assert_eq!(kinds(&shown["recommendations"]), ["raise_limit"]);
}
