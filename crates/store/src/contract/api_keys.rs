//! What the keys of machines must do on every database.

use ledger::{ApiKey, Changed, KeyDigest, KeyMade, Role};

use super::Fresh;
use super::cases::{acme, at, change, id};

fn key(number: usize, of: &str) -> (ApiKey, KeyDigest) {
    let key = ApiKey {
        id: id(&format!("gwk_{number:016x}")),
        organization_id: id(of),
        name: format!("key {number}"),
        role: Role::Member,
        event_types: Some(vec![id("structuring_diagnose")]),
        monthly_credits: Some(ledger::Limit::Unlimited),
        created_at: at("2026-11-10T08:00:00Z").plus_millis(i64::try_from(number).unwrap()),
        created_by: "op".to_owned(),
        expires_at: Some(at("2026-12-10T08:00:00Z")),
    };
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    (key, KeyDigest(digest))
}

async fn with_acme(fresh: &Fresh) {
    fresh.store.put_organization(&acme("free"), &change()).await.unwrap();
}

pub(in crate::contract) async fn a_key_is_found_by_its_digest_until_it_is_revoked(fresh: Fresh) {
    let (one, digest) = key(1, "acme");
    assert_eq!(fresh.store.make_api_key(&one, &digest, &change()).await.unwrap(), KeyMade::UnknownOrganization);
    with_acme(&fresh).await;
    assert_eq!(fresh.store.make_api_key(&one, &digest, &change()).await.unwrap(), KeyMade::Made);
    let (two, second) = key(2, "acme");
    assert_eq!(fresh.store.make_api_key(&two, &second, &change()).await.unwrap(), KeyMade::Made);
    let fresh = fresh.reopened().await;
    assert_eq!(fresh.store.api_key(&digest).await.unwrap().as_deref(), Some(&one));
    assert_eq!(fresh.store.api_key(&KeyDigest([7; 32])).await.unwrap(), None);
    let listed = vec![(second, two.clone()), (digest, one.clone())];
    assert_eq!(fresh.store.api_keys(&id("acme")).await.unwrap(), listed, "the newest first");
    assert_eq!(fresh.store.all_api_keys().await.unwrap().len(), 2);
    assert_eq!(fresh.store.api_keys(&id("other")).await.unwrap(), []);
    assert!(!fresh.store.revoke_api_key(&id("other"), &one.id, &change()).await.unwrap(), "it is not another's");
    for was_there in [true, false] {
        assert_eq!(fresh.store.revoke_api_key(&id("acme"), &one.id, &change()).await.unwrap(), was_there);
        assert_eq!(fresh.store.api_key(&digest).await.unwrap(), None);
    }
    assert_eq!(fresh.store.all_api_keys().await.unwrap(), [(second, two)]);
}

pub(in crate::contract) async fn an_organisation_has_no_more_api_keys_than_it_may(fresh: Fresh) {
    with_acme(&fresh).await;
    for number in 0..ApiKey::PER_ORGANIZATION_MAX {
        let (key, digest) = key(number, "acme");
        assert_eq!(fresh.store.make_api_key(&key, &digest, &change()).await.unwrap(), KeyMade::Made, "{number}");
    }
    let (more, digest) = key(ApiKey::PER_ORGANIZATION_MAX, "acme");
    assert_eq!(fresh.store.make_api_key(&more, &digest, &change()).await.unwrap(), KeyMade::TooMany);
    assert!(fresh.store.revoke_api_key(&id("acme"), &key(0, "acme").0.id, &change()).await.unwrap());
    assert_eq!(fresh.store.make_api_key(&more, &digest, &change()).await.unwrap(), KeyMade::Made);
}

pub(in crate::contract) async fn every_change_of_a_key_is_audited_without_its_digest_and_numbered(fresh: Fresh) {
    with_acme(&fresh).await;
    let before = fresh.store.revision().await.unwrap();
    let (one, digest) = key(1, "acme");
    fresh.store.make_api_key(&one, &digest, &change()).await.unwrap();
    fresh.store.revoke_api_key(&id("acme"), &one.id, &change()).await.unwrap();
    let entries = fresh.store.audit(&id("acme"), None, 2).await.unwrap();
    let shown: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.target.as_str())).collect();
    let target = "api_key:gwk_0000000000000001";
    assert_eq!(shown, [("api_key.revoke", target), ("api_key.create", target)]);
    assert_eq!((&entries[0].old_value["name"], &entries[1].new_value["name"]), (&"key 1".into(), &"key 1".into()));
    assert!(!format!("{entries:?}").contains(&digest.to_string()));
    let changes = fresh.store.changes_since(before).await.unwrap();
    let changes: Vec<_> = changes.into_iter().map(|(_, changed)| changed).collect();
    assert_eq!(changes, vec![Changed::Organization(id("acme")); 2]);
}
