//! Keys of machines, all of them in memory, so that a call with one asks the database nothing, and neither does a stranger
//! who makes keys up. A key that was revoked must never open anything after its change was read.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use ledger::{ApiKey, ApiKeyId, ApiKeys, Change, KeyDigest, KeyMade, OrganizationId, StoreError};
use parking_lot::RwLock;

/// The keys that the store has.
pub(crate) struct Keys {
    store: Arc<dyn ApiKeys>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    by_digest: HashMap<KeyDigest, Arc<ApiKey>>,
    of: HashMap<OrganizationId, Vec<KeyDigest>>,
}

impl Known {
    fn add(&mut self, digest: KeyDigest, key: ApiKey) {
        self.of.entry(key.organization_id.clone()).or_default().push(digest);
        self.by_digest.insert(digest, Arc::new(key));
    }
}

impl Keys {
    /// Reads them all.
    pub(crate) async fn open(store: Arc<dyn ApiKeys>) -> Result<Self, StoreError> {
        let mut known = Known::default();
        for (digest, key) in store.all_api_keys().await? {
            known.add(digest, key);
        }
        Ok(Self { store, known: RwLock::new(known) })
    }

    /// The key that is known by this digest.
    pub(crate) fn find(&self, digest: &KeyDigest) -> Option<Arc<ApiKey>> {
        self.known.read().by_digest.get(digest).cloned()
    }

    /// Reads an organisation's keys anew. Of two readings the later one must stay: the caller takes turns.
    pub(crate) async fn read(&self, of: &OrganizationId) -> Result<(), StoreError> {
        let keys = self.store.api_keys(of).await?;
        let mut known = self.known.write();
        for digest in known.of.remove(of).unwrap_or_default() {
            known.by_digest.remove(&digest);
        }
        for (digest, key) in keys {
            known.add(digest, key);
        }
        Ok(())
    }
}

/// The store's own, but that callers are recognised from memory.
#[async_trait]
impl ApiKeys for Keys {
    async fn make_api_key(&self, key: &ApiKey, digest: &KeyDigest, change: &Change) -> Result<KeyMade, StoreError> {
        self.store.make_api_key(key, digest, change).await
    }

    async fn revoke_api_key(&self, of: &OrganizationId, id: &ApiKeyId, change: &Change) -> Result<bool, StoreError> {
        self.store.revoke_api_key(of, id, change).await
    }

    async fn api_keys(&self, of: &OrganizationId) -> Result<Vec<(KeyDigest, ApiKey)>, StoreError> {
        self.store.api_keys(of).await
    }

    async fn all_api_keys(&self) -> Result<Vec<(KeyDigest, ApiKey)>, StoreError> {
        self.store.all_api_keys().await
    }

    async fn api_key(&self, digest: &KeyDigest) -> Result<Option<Arc<ApiKey>>, StoreError> {
        Ok(self.find(digest))
    }
}
