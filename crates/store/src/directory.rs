//! Organisations, members, plans, event definitions: each change with its audit entry and its number, in one
//! transaction. A change that changes nothing leaves no trace.

use async_trait::async_trait;
use ledger::{
    AlertThresholds, AuditEntry, Change, Changed, Directory, EventDefinition, EventType, ManagementUpdate, Member,
    NewOrganization, Organization, OrganizationId, OrganizationRecord, Plan, PlanName, StoreError, UsageLimits, UserId,
    Version,
};

use sqlx::{ColumnIndex, Decode, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::error::damaged;
use crate::ops::audit::{Act, Audit};
use crate::ops::definitions::Definitions;
use crate::ops::members::Members;
use crate::ops::organizations::Organizations;
use crate::ops::plans::Plans;
use crate::ops::versions::{Of, Versions};
use crate::sql_store::{SqlStore, commit};

#[async_trait]
impl<D> Directory for SqlStore<D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    async fn organization(&self, id: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        self.within(async {
            let mut snapshot = self.snapshot().await?;
            let Some(organization) = Organizations::<D>(&mut snapshot).find(id).await? else { return Ok(None) };
            let plan = Plans::<D>(&mut snapshot).find(&organization.plan).await?;
            let plan = plan.ok_or_else(|| damaged("plan name", &organization.plan))?;
            let members = Members::<D>(&mut snapshot).list(id).await?;
            let members = members.into_iter().map(|member| (member.user_id.clone(), member)).collect();
            Ok(Some(OrganizationRecord { organization, plan, members }))
        })
        .await
    }

    async fn put_organization(
        &self,
        new: &NewOrganization,
        change: &Change,
    ) -> Result<Option<Organization>, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            if Plans::<D>(&mut transaction).find(&new.plan).await?.is_none() {
                return Ok(None);
            }
            let old = Organizations::<D>(&mut transaction).find(&new.organization_id).await?;
            let kept = old.clone().unwrap_or_else(|| blank(new, change));
            let wanted = Organization {
                name: new.name.clone(),
                plan: new.plan.clone(),
                subscription_status: new.subscription_status,
                usage_limits: new.usage_limits.clone().unwrap_or(kept.usage_limits.clone()),
                ..kept
            };
            if old.as_ref() == Some(&wanted) {
                return Ok(old);
            }
            let wanted = Organization { updated_at: change.at, ..wanted };
            Organizations::<D>(&mut transaction).put(&wanted).await?;
            let changed = Changed::Organization(new.organization_id.clone());
            let action = if old.is_some() { "organization.update" } else { "organization.create" };
            let act = Act { action, changed: &changed, part: None, old: old.as_ref(), new: Some(&wanted) };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(Some(wanted))
        })
        .await
    }

    async fn update_management(
        &self,
        id: &OrganizationId,
        update: &ManagementUpdate,
        change: &Change,
    ) -> Result<Option<Organization>, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            let Some(mut organization) = Organizations::<D>(&mut transaction).find(id).await? else { return Ok(None) };
            let changed = Changed::Organization(id.clone());
            let mut touched = false;
            if let Some(limits) = update.usage_limits.as_ref().filter(|limits| **limits != organization.usage_limits) {
                let old: UsageLimits = std::mem::replace(&mut organization.usage_limits, limits.clone());
                let act = Act {
                    action: "usage_limits.update",
                    changed: &changed,
                    part: None,
                    old: Some(&old),
                    new: Some(limits),
                };
                Audit::<D>(&mut transaction).record(act, change).await?;
                touched = true;
            }
            if let Some(thresholds) = update.alert_thresholds.filter(|wanted| *wanted != organization.alert_thresholds)
            {
                let old: AlertThresholds = std::mem::replace(&mut organization.alert_thresholds, thresholds);
                let act = Act {
                    action: "alert_thresholds.update",
                    changed: &changed,
                    part: None,
                    old: Some(&old),
                    new: Some(&thresholds),
                };
                Audit::<D>(&mut transaction).record(act, change).await?;
                touched = true;
            }
            if let Some(scaling) = update.auto_scaling.as_ref().filter(|scaling| **scaling != organization.auto_scaling)
            {
                let old = std::mem::replace(&mut organization.auto_scaling, scaling.clone());
                let act = Act {
                    action: "auto_scaling.update",
                    changed: &changed,
                    part: None,
                    old: Some(&old),
                    new: Some(scaling),
                };
                Audit::<D>(&mut transaction).record(act, change).await?;
                touched = true;
            }
            if touched {
                organization.updated_at = change.at;
                Organizations::<D>(&mut transaction).put(&organization).await?;
            }
            commit::<D>(transaction).await?;
            Ok(Some(organization))
        })
        .await
    }

    async fn put_member(
        &self,
        id: &OrganizationId,
        member: &Member,
        change: &Change,
    ) -> Result<Option<Member>, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            if Organizations::<D>(&mut transaction).find(id).await?.is_none() {
                return Ok(None);
            }
            let old = Members::<D>(&mut transaction).find(id, &member.user_id).await?;
            if old.as_ref() == Some(member) {
                return Ok(old);
            }
            Members::<D>(&mut transaction).put(id, member).await?;
            let changed = Changed::Organization(id.clone());
            let part = Some(format!("member:{}", member.user_id));
            let act = Act { action: "member.put", changed: &changed, part, old: old.as_ref(), new: Some(member) };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(Some(member.clone()))
        })
        .await
    }

    async fn delete_member(&self, id: &OrganizationId, user: &UserId, change: &Change) -> Result<bool, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            let Some(old) = Members::<D>(&mut transaction).find(id, user).await? else { return Ok(false) };
            Members::<D>(&mut transaction).delete(id, user).await?;
            let changed = Changed::Organization(id.clone());
            let part = Some(format!("member:{user}"));
            let act = Act { action: "member.delete", changed: &changed, part, old: Some(&old), new: None };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(true)
        })
        .await
    }

    async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        self.within(async { Plans::<D>(&mut *self.read().await?).list().await }).await
    }

    async fn put_plan(&self, plan: &Plan, change: &Change) -> Result<Plan, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            let old = Plans::<D>(&mut transaction).find(&plan.plan).await?;
            let version = old.as_ref().map_or(0, |old| old.version);
            let same = Plan { version, ..plan.clone() };
            if old.as_ref() == Some(&same) {
                return Ok(same);
            }
            let wanted = Plan { version: version.saturating_add(1), ..same };
            Plans::<D>(&mut transaction).put(&wanted).await?;
            let name = wanted.plan.as_str();
            Versions::<D>(&mut transaction, Of::Plan).add(name, wanted.version, &wanted, change).await?;
            let changed = Changed::Plan(wanted.plan.clone());
            let act = Act { action: "plan.put", changed: &changed, part: None, old: old.as_ref(), new: Some(&wanted) };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(wanted)
        })
        .await
    }

    async fn plan_versions(&self, plan: &PlanName) -> Result<Vec<Version<Plan>>, StoreError> {
        self.within(async { Versions::<D>(&mut *self.read().await?, Of::Plan).list(plan.as_str()).await }).await
    }

    async fn event_definitions(&self) -> Result<Vec<EventDefinition>, StoreError> {
        self.within(async { Definitions::<D>(&mut *self.read().await?).list().await }).await
    }

    async fn put_event_definition(
        &self,
        definition: &EventDefinition,
        change: &Change,
    ) -> Result<EventDefinition, StoreError> {
        self.within(async {
            let mut transaction = self.change().await?;
            let old = Definitions::<D>(&mut transaction).find(&definition.event_type).await?;
            let version = old.as_ref().map_or(0, |old| old.version);
            let same = EventDefinition { version, ..definition.clone() };
            if old.as_ref() == Some(&same) {
                return Ok(same);
            }
            let wanted = EventDefinition { version: version.saturating_add(1), ..same };
            Definitions::<D>(&mut transaction).put(&wanted).await?;
            let (name, version) = (wanted.event_type.as_str(), wanted.version);
            Versions::<D>(&mut transaction, Of::EventDefinition).add(name, version, &wanted, change).await?;
            let changed = Changed::EventDefinition(wanted.event_type.clone());
            let act = Act {
                action: "event_definition.put",
                changed: &changed,
                part: None,
                old: old.as_ref(),
                new: Some(&wanted),
            };
            Audit::<D>(&mut transaction).record(act, change).await?;
            commit::<D>(transaction).await?;
            Ok(wanted)
        })
        .await
    }

    async fn event_definition_versions(&self, of: &EventType) -> Result<Vec<Version<EventDefinition>>, StoreError> {
        self.within(async { Versions::<D>(&mut *self.read().await?, Of::EventDefinition).list(of.as_str()).await })
            .await
    }

    async fn audit(&self, id: &OrganizationId, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.within(async { Audit::<D>(&mut *self.read().await?).list(id, before, limit).await }).await
    }

    async fn changes_since(&self, since: i64) -> Result<Vec<(i64, Changed)>, StoreError> {
        self.within(async { Audit::<D>(&mut *self.read().await?).changes_since(since).await }).await
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        self.within(async { Audit::<D>(&mut *self.read().await?).revision().await }).await
    }
}

fn blank(new: &NewOrganization, change: &Change) -> Organization {
    Organization {
        organization_id: new.organization_id.clone(),
        name: String::new(),
        plan: new.plan.clone(),
        subscription_status: new.subscription_status,
        usage_limits: UsageLimits::default(),
        alert_thresholds: AlertThresholds::default(),
        auto_scaling: serde_json::Value::Null,
        created_at: change.at,
        updated_at: change.at,
    }
}
