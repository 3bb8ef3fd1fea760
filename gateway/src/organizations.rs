//! What the gateway knows of organisations and prices, in memory: read from the store at first need, and anew on change.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use ledger::{
    ApiKeys, Changed, Directory, EventDefinition, EventType, OrganizationId, OrganizationRecord, PlanName, StoreError,
};
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use crate::books::Books;
use crate::keys::Keys;
use crate::rollout::Follower;

/// Organisations kept in memory. One more drops the least used one, which is read again at need.
const ORGANIZATIONS_MAX: usize = 20_000;

type Definitions = HashMap<EventType, Arc<EventDefinition>>;

/// Organisations and event definitions as the store has them.
pub(crate) struct Organizations {
    directory: Arc<dyn Directory>,
    pub(crate) keys: Arc<Keys>,
    known: Cache<OrganizationId, Arc<OrganizationRecord>>,
    definitions: ArcSwap<Definitions>,
    /// Counts changes seen, so that a record read before a change is never kept after it.
    generation: AtomicU64,
    revision: AtomicI64,
    /// Held while a change is read, so that of two changes the later one is what stays.
    changing: Mutex<()>,
}

impl Organizations {
    /// Reads the event definitions and all API keys; organisations are read when they first call.
    pub(crate) async fn open(directory: Arc<dyn Directory>, keys: Arc<dyn ApiKeys>) -> Result<Self, StoreError> {
        let revision = directory.revision().await?;
        let definitions = read_definitions(&*directory).await?;
        Ok(Self {
            keys: Arc::new(Keys::open(keys).await?),
            known: Cache::new(ORGANIZATIONS_MAX),
            definitions: ArcSwap::from_pointee(definitions),
            generation: AtomicU64::new(0),
            revision: AtomicI64::new(revision),
            changing: Mutex::default(),
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

    /// An organisation as it is now, where it is in memory: for what must not wait.
    pub(crate) fn known(&self, id: &OrganizationId) -> Option<Arc<OrganizationRecord>> {
        self.known.peek(id)
    }

    /// The definition of an event type.
    pub(crate) fn definition(&self, event_type: &EventType) -> Option<Arc<EventDefinition>> {
        self.definitions.load().get(event_type).cloned()
    }

    /// Reads what a change made old anew, where it is in memory: calls on their way settle by it too.
    pub(crate) async fn changed(&self, changed: &Changed) -> Result<(), StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        self.generation.fetch_add(1, Ordering::SeqCst);
        let read = match changed {
            Changed::Organization(id) => {
                // One after the other: a key that cannot be read must not keep a member who left.
                let (keys, organization) = (self.keys.read(id).await, self.read_organization(id).await);
                organization.and(keys)
            }
            Changed::Plan(name) => self.read_plan(name).await,
            Changed::EventDefinition(_) => {
                self.definitions.store(Arc::new(read_definitions(&*self.directory).await?));
                return Ok(());
            }
            // Plugins are followed by `rollout`.
            Changed::Pricing => return Ok(()),
        };
        if read.is_err() {
            // What is old must not stay: the next call reads it.
            self.known.clear();
        }
        read
    }

    async fn read_organization(&self, id: &OrganizationId) -> Result<(), StoreError> {
        if self.known.peek(id).is_some() {
            match self.directory.organization(id).await? {
                Some(record) => self.known.insert(id.clone(), Arc::new(record)),
                None => drop(self.known.remove(id)),
            }
        }
        Ok(())
    }

    async fn read_plan(&self, name: &PlanName) -> Result<(), StoreError> {
        let plans = self.directory.plans().await?;
        let Some(plan) = plans.into_iter().find(|plan| plan.plan == *name) else {
            self.known.clear();
            return Ok(());
        };
        let on_it: Vec<_> = self.known.iter().filter(|(_, record)| record.plan.plan == *name).collect();
        for (id, record) in on_it {
            self.known
                .insert(id, Arc::new(OrganizationRecord { plan: plan.clone(), ..OrganizationRecord::clone(&record) }));
        }
        Ok(())
    }

    /// Learns what other processes changed since the last look, and tells the books and the rollout of it.
    pub(crate) async fn follow(&self, books: &Books, rollout: &Follower) -> Result<(), StoreError> {
        for (revision, changed) in self.directory.changes_since(self.revision.load(Ordering::SeqCst)).await? {
            self.changed(&changed).await?;
            books.changed(&changed).await?;
            if changed == Changed::Pricing {
                rollout.wake();
            }
            self.revision.store(revision, Ordering::SeqCst);
        }
        Ok(())
    }
}

async fn read_definitions(directory: &dyn Directory) -> Result<Definitions, StoreError> {
    let definitions = directory.event_definitions().await?;
    Ok(definitions.into_iter().map(|definition| (definition.event_type.clone(), Arc::new(definition))).collect())
}
