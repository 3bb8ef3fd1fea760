//! Organisations, members, plans, event definitions, audit.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{
    Change, Changed, Credits, EventDefinition, Limit, ManagementUpdate, Member, NewOrganization, Role, UsageLimits,
    UserId,
};

use super::{acme, at, change, id};
use crate::contract::Fresh;

pub(in crate::contract) async fn the_price_list_is_there_from_the_start(fresh: Fresh) {
    let definitions = fresh.store.event_definitions().await.unwrap();
    assert_eq!(definitions.len(), 14);
    let diagnose =
        definitions.iter().find(|definition| definition.event_type.as_str() == "structuring_diagnose").unwrap();
    assert_eq!(diagnose.base_credits, Credits::from_whole(10).unwrap());
    assert_eq!(diagnose.complexity.unwrap().max.to_string(), "2.5");
    assert_eq!(diagnose.features.get("traceback"), Credits::from_whole(3).as_ref());
    let plans = fresh.store.plans().await.unwrap();
    let shown: Vec<_> = plans.iter().map(|plan| format!("{} {}", plan.plan, plan.overage_rate)).collect();
    assert_eq!(shown, ["enterprise 0.005", "free 0", "professional 0.01", "starter 0.015"]);
}

pub(in crate::contract) async fn an_organisation_needs_a_plan_that_exists(fresh: Fresh) {
    assert_eq!(fresh.store.put_organization(&acme("gold"), &change()).await.unwrap(), None);
    assert_eq!(fresh.store.organization(&id("acme")).await.unwrap(), None);
    assert_eq!(
        fresh.store.update_management(&id("acme"), &ManagementUpdate::default(), &change()).await.unwrap(),
        None
    );
    let member = Member { user_id: id("alice"), role: Role::Owner, name: None, email: None, monthly_credits: None };
    assert_eq!(fresh.store.put_member(&id("acme"), &member, &change()).await.unwrap(), None);
    assert!(!fresh.store.delete_member(&id("acme"), &id("alice"), &change()).await.unwrap());
}

pub(in crate::contract) async fn an_organisation_is_found_with_its_plan_and_members(fresh: Fresh) {
    fresh.store.put_organization(&acme("starter"), &change()).await.unwrap().unwrap();
    let limit = |micros| Some(Limit::Credits(Credits::from_micros(micros)));
    let limits = [None, Some(Limit::Unlimited), limit(0), limit(1), limit(i64::MAX)];
    for (role, monthly_credits) in Role::ALL.into_iter().zip(limits) {
        let member = Member { user_id: id(role.as_str()), role, name: Some("N".into()), email: None, monthly_credits };
        assert_eq!(fresh.store.put_member(&id("acme"), &member, &change()).await.unwrap(), Some(member));
    }
    assert!(fresh.store.delete_member(&id("acme"), &id("viewer"), &change()).await.unwrap());
    let record = fresh.store.organization(&id("acme")).await.unwrap().unwrap();
    assert_eq!(record.members.len(), 4);
    let billing = &record.members[&id::<UserId>("billing")];
    assert_eq!((billing.role, billing.monthly_credits), (Role::Billing, limit(i64::MAX)));
    for (user, want) in [("owner", None), ("admin", Some(Limit::Unlimited)), ("member", limit(0))] {
        assert_eq!(record.members[&id::<UserId>(user)].monthly_credits, want, "{user}");
    }
    assert_eq!(record.grant().credits.remaining(Credits::ZERO), Credits::from_whole(1000));
    let limits: UsageLimits = serde_json::from_str(r#"{"monthlyCredits":-1,"aiCallsPerMonth":7}"#).unwrap();
    let new = NewOrganization { usage_limits: Some(limits), ..acme("starter") };
    fresh.store.put_organization(&new, &change()).await.unwrap();
    fresh.store.put_organization(&acme("free"), &change()).await.unwrap();
    let grant = fresh.store.organization(&id("acme")).await.unwrap().unwrap().grant();
    assert_eq!(
        (grant.credits.remaining(Credits::ZERO), grant.calls),
        (None, Some(7)),
        "absent limits keep those there"
    );
}

pub(in crate::contract) async fn a_change_is_audited_with_old_and_new_values_and_numbered(fresh: Fresh) {
    fresh.store.put_organization(&acme("free"), &change()).await.unwrap();
    let before = fresh.store.revision().await.unwrap();
    let update = ManagementUpdate {
        usage_limits: Some(serde_json::from_str(r#"{"monthlyCredits":0.5}"#).unwrap()),
        alert_thresholds: Some(serde_json::from_str(r#"{"warning":60}"#).unwrap()),
        auto_scaling: Some(serde_json::json!({"enabled": true})),
    };
    let changed = fresh.store.update_management(&id("acme"), &update, &change()).await.unwrap().unwrap();
    assert_eq!(changed.alert_thresholds.warning, 60);
    let entries = fresh.store.audit(&id("acme"), None, 10).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        ["auto_scaling.update", "alert_thresholds.update", "usage_limits.update", "organization.create"]
    );
    let limits = &entries[2];
    assert_eq!(
        (limits.old_value.to_string(), limits.new_value.to_string()),
        ("{}".into(), r#"{"monthlyCredits":0.5}"#.into())
    );
    assert_eq!((limits.actor.user_id.as_str(), limits.actor.remote_address.as_deref()), ("op", Some("::1")));
    assert_eq!(entries[3].old_value, serde_json::Value::Null);
    assert_eq!(fresh.store.audit(&id("acme"), Some(limits.id), 10).await.unwrap().len(), 1, "the cursor is honoured");
    let changes = fresh.store.changes_since(before).await.unwrap();
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[2], (fresh.store.revision().await.unwrap(), Changed::Organization(id("acme"))));
}

pub(in crate::contract) async fn a_change_that_changes_nothing_leaves_no_trace(fresh: Fresh) {
    fresh.store.put_organization(&acme("free"), &change()).await.unwrap();
    let member = Member { user_id: id("alice"), role: Role::Owner, name: None, email: None, monthly_credits: None };
    fresh.store.put_member(&id("acme"), &member, &change()).await.unwrap();
    let revision = fresh.store.revision().await.unwrap();
    let later = Change { at: at("2027-01-01T00:00:00Z"), ..change() };
    let again = fresh.store.put_organization(&acme("free"), &later).await.unwrap().unwrap();
    assert_eq!(again.updated_at, change().at);
    fresh.store.put_member(&id("acme"), &member, &later).await.unwrap();
    let plan = fresh.store.plans().await.unwrap().remove(0);
    fresh.store.put_plan(&plan, &later).await.unwrap();
    let definition = fresh.store.event_definitions().await.unwrap().remove(0);
    assert_eq!(fresh.store.put_event_definition(&definition, &later).await.unwrap(), definition);
    assert_eq!(fresh.store.revision().await.unwrap(), revision);
}

pub(in crate::contract) async fn a_definition_counts_its_versions(fresh: Fresh) {
    let definition = EventDefinition {
        event_type: id("brand_new"),
        name: "New".into(),
        category: "c".into(),
        base_credits: Credits::from_micros(1_500_000),
        complexity: None,
        features: BTreeMap::new(),
        version: 99,
    };
    assert_eq!(fresh.store.put_event_definition(&definition, &change()).await.unwrap().version, 1);
    let dearer = EventDefinition { base_credits: Credits::from_micros(2), ..definition };
    assert_eq!(fresh.store.put_event_definition(&dearer, &change()).await.unwrap().version, 2);
    assert_eq!(fresh.store.put_event_definition(&dearer, &change()).await.unwrap().version, 2);
}

pub(in crate::contract) async fn changes_at_once_are_numbered_in_their_order(fresh: Fresh) {
    fresh.store.put_organization(&acme("free"), &change()).await.unwrap();
    let before = fresh.store.revision().await.unwrap();
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let store = Arc::clone(&fresh.store);
            let member = Member {
                user_id: id(&format!("u{number}")),
                role: Role::Member,
                name: None,
                email: None,
                monthly_credits: None,
            };
            tokio::spawn(async move { store.put_member(&id("acme"), &member, &change()).await.unwrap().unwrap() })
        })
        .collect();
    // A follower that never looks back must see every one, however they overlap.
    let (mut since, mut seen) = (before, 0);
    let mut is_over = false;
    while !is_over {
        is_over = tasks.iter().all(tokio::task::JoinHandle::is_finished);
        for (revision, _) in fresh.store.changes_since(since).await.unwrap() {
            assert!(revision > since);
            (since, seen) = (revision, seen + 1);
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, 12);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fresh.store.organization(&id("acme")).await.unwrap().unwrap().members.len(), 12);
}
