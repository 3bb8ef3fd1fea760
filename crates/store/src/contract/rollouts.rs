//! Uploaded plugins, their steps, and the versions of what is priced by.

use ledger::{
    Change, Changed, Credits, EventDefinition, EventType, Plan, PluginFile, PluginHash, Step, StepRefused, StoredPlugin,
};

use super::Fresh;
use super::cases::{at, change, id};
use crate::Occupancy;
use crate::rollouts::PLUGINS_MAX;

fn hash(number: u64) -> PluginHash {
    format!("{number:064x}").parse().unwrap()
}

fn plugin(number: u64) -> StoredPlugin {
    StoredPlugin {
        sha256: hash(number),
        name: "prices".into(),
        version: format!("1.{number}"),
        bytes: 4,
        event_types: Vec::new(),
        golden_cases: 0,
        signed: false,
        uploaded_at: change().at,
        uploaded_by: change().actor.user_id,
    }
}

fn file() -> PluginFile {
    PluginFile { content: vec![0, b'a', 0xff, 0], cases: None, signature: None }
}

fn activate(number: u64) -> Step {
    Step::Activate { sha256: hash(number) }
}

pub(in crate::contract) async fn a_plugin_comes_back_as_it_was_uploaded_once(fresh: Fresh) {
    let revision = fresh.store.revision().await.unwrap();
    assert_eq!(fresh.store.plugin_file(&hash(1)).await.unwrap(), None);
    let kept = fresh.store.put_plugin(&plugin(1), &file(), "a price for images", &change()).await.unwrap();
    assert_eq!(kept, Some(plugin(1)));
    let later = Change { at: at("2027-01-01T00:00:00Z"), ..change() };
    let again = StoredPlugin { uploaded_at: later.at, uploaded_by: "somebody else".into(), ..plugin(1) };
    assert_eq!(fresh.store.put_plugin(&again, &file(), "again", &later).await.unwrap(), Some(plugin(1)));
    assert_eq!(fresh.store.changes_since(revision).await.unwrap(), [(revision + 1, Changed::Pricing)], "once");
    assert_eq!(fresh.store.plugin_file(&hash(1)).await.unwrap(), Some(file()));

    let signed = PluginFile { signature: Some("sig".into()), cases: Some("[a]".into()), ..file() };
    let now = StoredPlugin { signed: true, golden_cases: 1, ..plugin(1) };
    assert_eq!(fresh.store.put_plugin(&now, &signed, "signed", &later).await.unwrap(), Some(now.clone()));
    let fresh = fresh.reopened().await;
    assert_eq!(fresh.store.plugin_file(&hash(1)).await.unwrap(), Some(signed));
    fresh
        .store
        .put_plugin(&StoredPlugin { uploaded_at: later.at, ..plugin(2) }, &file(), "newer", &later)
        .await
        .unwrap();
    let listed = fresh.store.plugins().await.unwrap();
    assert_eq!(listed.iter().map(|plugin| &plugin.sha256).collect::<Vec<_>>(), [&hash(2), &hash(1)]);
    assert_eq!(listed[1], now);
}

pub(in crate::contract) async fn every_step_is_audited_with_its_reason_and_numbered(fresh: Fresh) {
    let store = &fresh.store;
    for number in [1, 2] {
        store.put_plugin(&plugin(number), &file(), "new prices", &change()).await.unwrap();
    }
    let revision = store.revision().await.unwrap();
    assert_eq!(store.rollout().await.unwrap(), ledger::Rollout::default());
    let steps = [
        (Step::Shadow { sha256: hash(1) }, "try it"),
        (Step::Canary { sha256: hash(1), share: 250.try_into().unwrap() }, "a few first"),
        (activate(1), "it is right"),
        (activate(2), "cheaper"),
        (Step::Rollback, "too cheap"),
    ];
    for (step, why) in &steps {
        store.step(step, &[], why, &change()).await.unwrap().unwrap();
    }
    let rollout = store.rollout().await.unwrap();
    assert_eq!((rollout.number, rollout.active, rollout.earlier), (5, Some(hash(1)), vec![None]));
    let changes = store.changes_since(revision).await.unwrap();
    assert!(changes.len() == 5 && changes.iter().all(|(_, changed)| *changed == Changed::Pricing));

    let entries = store.steps(None, 100).await.unwrap();
    let told: Vec<_> =
        entries.iter().map(|entry| (entry.action.as_str(), entry.new_value["reason"].as_str())).collect();
    let want = [
        ("pricing.rollback", "too cheap"),
        ("pricing.activate", "cheaper"),
        ("pricing.activate", "it is right"),
        ("pricing.canary", "a few first"),
        ("pricing.shadow", "try it"),
        ("pricing.upload", "new prices"),
        ("pricing.upload", "new prices"),
    ];
    assert_eq!(told, want.map(|(action, why)| (action, Some(why))));
    assert_eq!(entries[0].actor.user_id, "op");
    assert_eq!(entries[0].old_value["active"], hash(2).as_str());
    assert_eq!(entries[0].new_value["active"], hash(1).as_str());
    assert_eq!(entries[3].new_value["made"]["share"], 250);
    assert_eq!(store.steps(Some(entries[4].id), 1).await.unwrap(), entries[5..6], "the cursor is honoured");
}

pub(in crate::contract) async fn a_step_that_is_refused_leaves_no_trace(fresh: Fresh) {
    let store = &fresh.store;
    let images: EventType = id("images");
    let narrow = StoredPlugin { event_types: vec![images.clone()], ..plugin(1) };
    store.put_plugin(&narrow, &file(), "images only", &change()).await.unwrap();
    let revision = store.revision().await.unwrap();
    let texts: EventType = id("texts");
    let in_use = [images, texts.clone()];
    let cases = [
        (activate(9), StepRefused::UnknownPlugin(hash(9))),
        (activate(1), StepRefused::NotPriced(vec![texts.clone()])),
        (Step::Canary { sha256: hash(1), share: 1.try_into().unwrap() }, StepRefused::NotPriced(vec![texts])),
        (Step::StopShadow, StepRefused::NoShadow),
        (Step::Rollback, StepRefused::NothingToRollBackTo),
    ];
    for (step, refused) in cases {
        assert_eq!(store.step(&step, &in_use, "why", &change()).await.unwrap(), Err(refused));
    }
    let gone = Step::TakeBack { number: 4 };
    assert_eq!(store.step(&gone, &[], "it fails", &change()).await.unwrap(), Ok(ledger::Rollout::default()));
    assert_eq!(store.revision().await.unwrap(), revision);
    // What charges nobody may lack a price.
    store.step(&Step::Shadow { sha256: hash(1) }, &in_use, "why", &change()).await.unwrap().unwrap();
}

pub(in crate::contract) async fn steps_at_once_take_turns(fresh: Fresh) {
    for number in 0..8 {
        fresh.store.put_plugin(&plugin(number), &file(), "new", &change()).await.unwrap();
    }
    let beside = fresh.beside(Occupancy::Companion).await.unwrap();
    let tasks = (0..8).map(|number| {
        let store = if number % 2 == 0 { fresh.store.clone() } else { beside.clone() };
        tokio::spawn(async move { store.step(&activate(number), &[], "race", &change()).await.unwrap().unwrap() })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let rollout = fresh.store.rollout().await.unwrap();
    assert_eq!((rollout.number, rollout.earlier.len()), (8, 8), "no step was made on an old state");
    assert_eq!(rollout.earlier.last(), Some(&None));
    beside.close().await;
}

pub(in crate::contract) async fn as_many_plugins_are_kept_as_may_be(fresh: Fresh) {
    for number in 0..PLUGINS_MAX {
        assert!(fresh.store.put_plugin(&plugin(number), &file(), "w", &change()).await.unwrap().is_some());
    }
    assert_eq!(fresh.store.put_plugin(&plugin(PLUGINS_MAX), &file(), "w", &change()).await.unwrap(), None);
    assert!(fresh.store.put_plugin(&plugin(0), &file(), "w", &change()).await.unwrap().is_some(), "it is there");
}

pub(in crate::contract) async fn every_version_of_a_plan_and_a_definition_is_kept(fresh: Fresh) {
    let store = &fresh.store;
    let sketch: EventType = id("visuals_sketch");
    let first = store.event_definition_versions(&sketch).await.unwrap();
    assert_eq!((first.len(), first[0].at, first[0].value.version), (1, None, 1));
    let dearer = EventDefinition { base_credits: Credits::from_micros(5), ..first[0].value.clone() };
    for _ in 0..2 {
        assert_eq!(store.put_event_definition(&dearer, &change()).await.unwrap().version, 2);
    }
    let versions = store.event_definition_versions(&sketch).await.unwrap();
    assert_eq!(versions.iter().map(|version| version.value.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((versions[0].at, versions[0].by.as_deref()), (Some(change().at), Some("op")));
    assert_eq!(versions[1].value, first[0].value, "what was said before stays");
    assert!(store.event_definition_versions(&id("unheard_of")).await.unwrap().is_empty());

    let free = store.plans().await.unwrap().into_iter().find(|plan| plan.plan.as_str() == "free").unwrap();
    assert_eq!(free.version, 1);
    let renamed = Plan { display_name: "Gratis".into(), version: 77, ..free.clone() };
    assert_eq!(store.put_plan(&renamed, &change()).await.unwrap().version, 2, "whatever version is given");
    assert_eq!(store.put_plan(&renamed, &change()).await.unwrap().version, 2);
    let versions = store.plan_versions(&free.plan).await.unwrap();
    assert_eq!(
        versions.iter().map(|version| version.value.display_name.as_str()).collect::<Vec<_>>(),
        ["Gratis", "Free"]
    );
}
