//! What the ledger asks of a store. The `store` crate answers, over SQLite and PostgreSQL alike.

use async_trait::async_trait;

use crate::{
    Actor, AlertThresholds, AuditEntry, Credits, EventDefinition, EventType, HistoryFilter, HistoryPage, InstanceId,
    LeaseGrant, LeaseKey, LeaseNews, LeaseRequest, LeaseUsed, Member, MonthlyUsage, Organization, OrganizationId,
    OrganizationRecord, PageRequest, Period, Plan, PlanName, PluginFile, PluginHash, Rollout, Share, Step, StepRefused,
    StoredPlugin, SubscriptionStatus, ThresholdsUpdate, Timestamp, UsageEvent, UsageEventId, UsageLimits, UsageReport,
    UserId,
};

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is full, read-only or too slow. Trying again later may help.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row holds what it cannot: trying again does not help.
    #[error("the database holds {0}")]
    Damaged(String),
}

/// A change by somebody: every write that has one is audited in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

/// What an organisation is made of; `usage_limits: None` keeps those that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrganization {
    /// Its id.
    pub organization_id: OrganizationId,
    /// For people to read.
    pub name: String,
    /// The plan it is on.
    pub plan: PlanName,
    /// Whether it pays.
    pub subscription_status: SubscriptionStatus,
    /// Limits of its own.
    pub usage_limits: Option<UsageLimits>,
}

/// What an organisation changes of itself; `None` keeps what is there. Limits that are given replace all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManagementUpdate {
    /// Limits of its own.
    pub usage_limits: Option<UsageLimits>,
    /// When to warn.
    pub alert_thresholds: Option<ThresholdsUpdate>,
    /// A JSON object or null.
    pub auto_scaling: Option<serde_json::Value>,
}

/// What became of a change of management.
#[derive(Clone, Debug, PartialEq)]
pub enum Updated {
    /// The organisation after it.
    Organization(Box<Organization>),
    /// There is no such organisation.
    Unknown,
    /// Nothing changed: with what is there now, critical would be less than warning.
    CriticalBelowWarning(AlertThresholds),
}

/// What changed, as other processes learn of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// An organisation, its limits or its members.
    Organization(OrganizationId),
    /// A plan, and so every organisation on it.
    Plan(PlanName),
    /// An event definition.
    EventDefinition(EventType),
    /// Which plugin sets prices for whom.
    Pricing,
}

/// A version of something that is counted by versions, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version<T> {
    /// Since when it is the one in force; `None` for what was there from the start.
    pub at: Option<Timestamp>,
    /// Who made it.
    pub by: Option<String>,
    /// What it says.
    pub value: T,
}

/// Organisations, members, plans, event definitions and the audit trail.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// An organisation with its plan and members; `None` where there is none.
    async fn organization(&self, id: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError>;
    /// Makes or changes an organisation; `None` where the plan does not exist.
    async fn put_organization(
        &self,
        new: &NewOrganization,
        change: &Change,
    ) -> Result<Option<Organization>, StoreError>;
    /// Changes limits, thresholds, scaling, all or nothing. What a change leaves alone is as it is in the transaction.
    async fn update_management(
        &self,
        id: &OrganizationId,
        update: &ManagementUpdate,
        change: &Change,
    ) -> Result<Updated, StoreError>;
    /// Makes or changes a member; `None` where there is no such organisation.
    async fn put_member(
        &self,
        id: &OrganizationId,
        member: &Member,
        change: &Change,
    ) -> Result<Option<Member>, StoreError>;
    /// Removes a member; whether there was one.
    async fn delete_member(&self, id: &OrganizationId, user: &UserId, change: &Change) -> Result<bool, StoreError>;
    /// Every plan, by name.
    async fn plans(&self) -> Result<Vec<Plan>, StoreError>;
    /// Every version of a plan, newest first; none where there is no such plan.
    async fn plan_versions(&self, plan: &PlanName) -> Result<Vec<Version<Plan>>, StoreError>;
    /// Makes or changes a plan; answers it with its version, one more than before where it changed.
    async fn put_plan(&self, plan: &Plan, change: &Change) -> Result<Plan, StoreError>;
    /// Every event definition, by event type.
    async fn event_definitions(&self) -> Result<Vec<EventDefinition>, StoreError>;
    /// Every version of an event definition, newest first; none where there is none.
    async fn event_definition_versions(&self, of: &EventType) -> Result<Vec<Version<EventDefinition>>, StoreError>;
    /// Makes or changes an event definition; answers it with its version, one more than before where it changed.
    async fn put_event_definition(
        &self,
        definition: &EventDefinition,
        change: &Change,
    ) -> Result<EventDefinition, StoreError>;
    /// The audit entries of an organisation, newest first, those below the cursor `before` if one is given.
    async fn audit(&self, id: &OrganizationId, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;
    /// What changed after the revision `since`, oldest first, each with its revision; at most 1 000.
    async fn changes_since(&self, since: i64) -> Result<Vec<(i64, Changed)>, StoreError>;
    /// The newest revision; 0 where nothing ever changed.
    async fn revision(&self) -> Result<i64, StoreError>;
}

/// Uploaded plugins, and which of them sets prices for whom. Every change is audited with its reason and numbered like any
/// other change of the directory.
#[async_trait]
pub trait Rollouts: Send + Sync + 'static {
    /// Keeps a plugin. One that is there already keeps its date, and takes over the cases and the signature that came now.
    /// `None` where as many are kept as there may be.
    async fn put_plugin(
        &self,
        plugin: &StoredPlugin,
        file: &PluginFile,
        why: &str,
        change: &Change,
    ) -> Result<Option<StoredPlugin>, StoreError>;
    /// Every plugin, the newest first.
    async fn plugins(&self) -> Result<Vec<StoredPlugin>, StoreError>;
    /// What was uploaded of a plugin.
    async fn plugin_file(&self, of: &PluginHash) -> Result<Option<PluginFile>, StoreError>;
    /// Which plugin sets prices for whom, now.
    async fn rollout(&self) -> Result<Rollout, StoreError>;
    /// Makes a step, for a reason. A plugin that is to set prices must price every event type `in_use`.
    async fn step(
        &self,
        step: &Step,
        in_use: &[EventType],
        why: &str,
        change: &Change,
    ) -> Result<Result<Rollout, StepRefused>, StoreError>;
    /// The audit entries of uploads and steps, newest first, those below the cursor `before` if one is given.
    async fn steps(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;
}

/// What the events of one organisation and period add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Σ credits of the period's events.
    pub used: Credits,
    /// How many events there are.
    pub events: u64,
    /// How many of them were captured: the calls that count against a call limit.
    pub calls: u64,
    /// Σ credits of the adjustments among them.
    pub adjusted: Credits,
}

/// Usage events and what is computed from them.
#[async_trait]
pub trait UsageStore: Send + Sync + 'static {
    /// Writes events, balances and daily rollups in one transaction. An event that is there already changes nothing.
    /// Answers how many were new. They outlast this process at once, and a power cut after [`UsageStore::persist`].
    async fn apply(&self, events: &[UsageEvent]) -> Result<u64, StoreError>;
    /// On return all that was applied before this call outlasts a power cut.
    async fn persist(&self) -> Result<(), StoreError>;
    /// What a period's events add up to.
    async fn balance(&self, id: &OrganizationId, period: Period) -> Result<Balance, StoreError>;
    /// What one user's events of a period add up to.
    async fn used_by(&self, id: &OrganizationId, period: Period, user: &UserId) -> Result<Credits, StoreError>;
    /// One event of an organisation.
    async fn event(&self, id: &OrganizationId, event: UsageEventId) -> Result<Option<UsageEvent>, StoreError>;
    /// One page of the events that pass the filter, newest first, with a summary of all that pass it.
    async fn history(
        &self,
        id: &OrganizationId,
        filter: &HistoryFilter,
        page: PageRequest,
    ) -> Result<HistoryPage, StoreError>;
    /// A period by event type, user and day, from the rollups; of one user only where one is given.
    async fn report(
        &self,
        id: &OrganizationId,
        period: Period,
        user: Option<&UserId>,
    ) -> Result<UsageReport, StoreError>;
    /// Totals of the periods `first` to `last`, both in, oldest first, empty ones with zeros.
    async fn monthly(&self, id: &OrganizationId, first: Period, last: Period) -> Result<Vec<MonthlyUsage>, StoreError>;
}

/// Leases: what each instance may charge of an organisation's period. The protocol is in `lease.rs`; what a store must
/// do is here. Every statement locks the rows that it changes in the order of [`LeaseKey`], so that none waits in a
/// circle.
///
/// **The sum.** `used + Σ amounts ≤ limit`, where an amount is `granted − charged` of a row, expired rows included
/// until they are reclaimed, and the limit is the one in force, read in the same transaction. Only a grant may raise
/// the sum, and a charge that comes after its lease was reclaimed. Two grants for one account at once must not each
/// overlook the other: keep the sum of the amounts in the row of the balance and guard the update of that row.
#[async_trait]
pub trait LeaseStore: Send + Sync + 'static {
    /// [`UsageStore::apply`], with the charges taken from the leases of `instance` in the same transaction: for each
    /// account, what the *new* events add to `used` is added to `charged`, and `granted` is raised to `charged` where
    /// it is below. A row that is missing is made, already expired, so that `charged` misses nothing. The same for the
    /// accounts of members whose row has [begun](LeaseStore::begin); what they lack is not made.
    async fn apply_leased(&self, instance: InstanceId, events: &[UsageEvent]) -> Result<u64, StoreError>;

    /// Makes the row of a member's lease for `instance`, with nothing granted beyond the `captured` credits that are
    /// charged already; and, where it is the first of the account, sums up what the member used, which each apply and
    /// each adjustment moves from then on. All in one transaction that nobody adds an event of the account's to. It takes
    /// effect only where `epoch` is above the row's, if there is one: else it fails.
    async fn begin(
        &self,
        instance: InstanceId,
        key: &LeaseKey,
        captured: Credits,
        epoch: i64,
    ) -> Result<(), StoreError>;

    /// Grants, renews, shrinks and gives back, many leases at once. A request whose `epoch` is not above its row's
    /// changes nothing and has no answer. For each other one, credits and calls alike, with `reach = charged + limit −
    /// used − Σ other amounts` (endless where there is no limit):
    ///
    /// - where `need ≤ reach` for both: `granted = max(min(want, reach), min(granted, keep))`;
    /// - else `granted = min(granted, keep)`, and an ask of this instance stands for `ask_ttl` from now, and the others
    ///   are notified;
    ///
    /// never below `charged`: [`LeaseRequest::decide`]. The lease then ends `ttl` after the database's present, read by
    /// this statement; its strikes are forgotten, and so is its ask where the need was met.
    async fn renew(&self, instance: InstanceId, requests: &[LeaseRequest]) -> Result<Vec<LeaseGrant>, StoreError>;

    /// Which leases of `instance` with an amount others ask for now.
    async fn asked(&self, instance: InstanceId) -> Result<Vec<LeaseKey>, StoreError>;

    /// Notes what `instance` charged since each lease's row began, has the others hear of what is new, and says what all
    /// used. With no account it says that this instance is there. It decides about nothing, and may be lost.
    async fn tell(&self, instance: InstanceId, spent: &[(LeaseKey, Share)]) -> Result<Vec<LeaseUsed>, StoreError>;

    /// Returns when there is news of other instances than `instance`. It may be late or never return: whoever waits also
    /// polls.
    async fn news(&self, instance: InstanceId) -> LeaseNews;

    /// Strikes every expired lease that has an amount and was not struck within `strike_every`; one that has
    /// `strikes_max` then loses its amount (`granted = charged`). Its row stays, for the charges that may still come.
    /// An end further ahead than `ttl`, as a clock that was set back leaves it, is brought to it. Answers how many lost
    /// it.
    async fn reclaim(&self) -> Result<u64, StoreError>;

    /// Deletes the rows and asks of an instance that is over: its journal is applied and it sends no request any more.
    async fn retire(&self, instance: InstanceId) -> Result<(), StoreError>;
}
