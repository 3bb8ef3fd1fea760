//! What the gateway knows of organisations and prices, in memory: read from the store at first need, dropped on change.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use ledger::{Changed, Directory, EventDefinition, EventType, OrganizationId, OrganizationRecord, StoreError};
use quick_cache::sync::Cache;

/// Organisations kept in memory. One more drops the least used one, which is read again at need.
const ORGANIZATIONS_MAX: usize = 20_000;

type Definitions = HashMap<EventType, Arc<EventDefinition>>;

/// Organisations and event definitions as the store has them.
pub(crate) struct Organizations {
    directory: Arc<dyn Directory>,
    known: Cache<OrganizationId, Arc<OrganizationRecord>>,
    definitions: ArcSwap<Definitions>,
    /// Counts changes seen, so that a record read before a change is never kept after it.
    generation: AtomicU64,
    revision: AtomicI64,
}

impl Organizations {
    /// Reads the event definitions; organisations are read when they first call.
    pub(crate) async fn open(directory: Arc<dyn Directory>) -> Result<Self, StoreError> {
        let revision = directory.revision().await?;
        let definitions = read_definitions(&*directory).await?;
        Ok(Self {
            known: Cache::new(ORGANIZATIONS_MAX),
            definitions: ArcSwap::from_pointee(definitions),
            generation: AtomicU64::new(0),
            revision: AtomicI64::new(revision),
            directory,
        })
    }

    /// An organisation; `None` where there is none.
    pub(crate) async fn find(&self, id: &OrganizationId) -> Result<Option<Arc<OrganizationRecord>>, StoreError> {
        if let Some(record) = self.known.get(id) {
            return Ok(Some(record));
        }
        let generation = self.generation.load(Ordering::SeqCst);
        let Some(record) = self.directory.organization(id).await?.map(Arc::new) else { return Ok(None) };
        self.known.insert(id.clone(), Arc::clone(&record));
        if self.generation.load(Ordering::SeqCst) != generation {
            // Something changed while we read: what we have may be old, so it serves this call only.
            self.known.remove(id);
        }
        Ok(Some(record))
    }

    /// The definition of an event type.
    pub(crate) fn definition(&self, event_type: &EventType) -> Option<Arc<EventDefinition>> {
        self.definitions.load().get(event_type).cloned()
    }

    /// Forgets what a change made old. The next call reads it anew.
    pub(crate) async fn changed(&self, changed: &Changed) -> Result<(), StoreError> {
        self.generation.fetch_add(1, Ordering::SeqCst);
        match changed {
            Changed::Organization(id) => drop(self.known.remove(id)),
            Changed::Plan(_) => self.known.clear(),
            Changed::EventDefinition(_) => {
                self.definitions.store(Arc::new(read_definitions(&*self.directory).await?));
            }
        }
        Ok(())
    }

    /// Learns what other processes changed since the last look, and tells of it.
    pub(crate) async fn follow(&self, told: impl Fn(&Changed)) -> Result<(), StoreError> {
        for (revision, changed) in self.directory.changes_since(self.revision.load(Ordering::SeqCst)).await? {
            self.changed(&changed).await?;
            told(&changed);
            self.revision.store(revision, Ordering::SeqCst);
        }
        Ok(())
    }
}

async fn read_definitions(directory: &dyn Directory) -> Result<Definitions, StoreError> {
    let definitions = directory.event_definitions().await?;
    Ok(definitions.into_iter().map(|definition| (definition.event_type.clone(), Arc::new(definition))).collect())
}
