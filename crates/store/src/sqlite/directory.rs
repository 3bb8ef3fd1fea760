//! Organisations, members, plans, event definitions: each change with its audit entry and its number, in one
//! transaction. A change that changes nothing leaves no trace.

use async_trait::async_trait;
use ledger::{
    AlertThresholds, AuditEntry, Change, Changed, Directory, EventDefinition, ManagementUpdate, Member,
    NewOrganization, Organization, OrganizationId, OrganizationRecord, Plan, StoreError, UsageLimits, UserId,
};

use super::{SqliteStore, commit};
use crate::error::{damaged, from_driver};
use crate::ops::audit::{self, Act};
use crate::ops::{definitions, members, organizations, plans};

#[async_trait]
impl Directory for SqliteStore {
    async fn organization(&self, id: &OrganizationId) -> Result<Option<OrganizationRecord>, StoreError> {
        let mut snapshot = self.readers.begin().await.map_err(from_driver)?;
        let Some(organization) = organizations::find(&mut snapshot, id).await? else { return Ok(None) };
        let plan = plans::find(&mut snapshot, &organization.plan).await?;
        let plan = plan.ok_or_else(|| damaged("plan name", &organization.plan))?;
        let members = members::list(&mut snapshot, id).await?;
        let members = members.into_iter().map(|member| (member.user_id.clone(), member)).collect();
        Ok(Some(OrganizationRecord { organization, plan, members }))
    }

    async fn put_organization(
        &self,
        new: &NewOrganization,
        change: &Change,
    ) -> Result<Option<Organization>, StoreError> {
        let mut transaction = self.write().await?;
        if plans::find(&mut transaction, &new.plan).await?.is_none() {
            return Ok(None);
        }
        let old = organizations::find(&mut transaction, &new.organization_id).await?;
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
        organizations::put(&mut transaction, &wanted).await?;
        let changed = Changed::Organization(new.organization_id.clone());
        let action = if old.is_some() { "organization.update" } else { "organization.create" };
        let act = Act { action, changed: &changed, part: None, old: old.as_ref(), new: Some(&wanted) };
        audit::record(&mut transaction, act, change).await?;
        commit(transaction).await?;
        Ok(Some(wanted))
    }

    async fn update_management(
        &self,
        id: &OrganizationId,
        update: &ManagementUpdate,
        change: &Change,
    ) -> Result<Option<Organization>, StoreError> {
        let mut transaction = self.write().await?;
        let Some(mut organization) = organizations::find(&mut transaction, id).await? else { return Ok(None) };
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
            audit::record(&mut transaction, act, change).await?;
            touched = true;
        }
        if let Some(thresholds) = update.alert_thresholds.filter(|wanted| *wanted != organization.alert_thresholds) {
            let old: AlertThresholds = std::mem::replace(&mut organization.alert_thresholds, thresholds);
            let act = Act {
                action: "alert_thresholds.update",
                changed: &changed,
                part: None,
                old: Some(&old),
                new: Some(&thresholds),
            };
            audit::record(&mut transaction, act, change).await?;
            touched = true;
        }
        if let Some(scaling) = update.auto_scaling.as_ref().filter(|scaling| **scaling != organization.auto_scaling) {
            let old = std::mem::replace(&mut organization.auto_scaling, scaling.clone());
            let act = Act {
                action: "auto_scaling.update",
                changed: &changed,
                part: None,
                old: Some(&old),
                new: Some(scaling),
            };
            audit::record(&mut transaction, act, change).await?;
            touched = true;
        }
        if touched {
            organization.updated_at = change.at;
            organizations::put(&mut transaction, &organization).await?;
        }
        commit(transaction).await?;
        Ok(Some(organization))
    }

    async fn put_member(
        &self,
        id: &OrganizationId,
        member: &Member,
        change: &Change,
    ) -> Result<Option<Member>, StoreError> {
        let mut transaction = self.write().await?;
        if organizations::find(&mut transaction, id).await?.is_none() {
            return Ok(None);
        }
        let old = members::find(&mut transaction, id, &member.user_id).await?;
        if old.as_ref() == Some(member) {
            return Ok(old);
        }
        members::put(&mut transaction, id, member).await?;
        let changed = Changed::Organization(id.clone());
        let part = Some(format!("member:{}", member.user_id));
        let act = Act { action: "member.put", changed: &changed, part, old: old.as_ref(), new: Some(member) };
        audit::record(&mut transaction, act, change).await?;
        commit(transaction).await?;
        Ok(Some(member.clone()))
    }

    async fn delete_member(&self, id: &OrganizationId, user: &UserId, change: &Change) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let Some(old) = members::find(&mut transaction, id, user).await? else { return Ok(false) };
        members::delete(&mut transaction, id, user).await?;
        let changed = Changed::Organization(id.clone());
        let part = Some(format!("member:{user}"));
        let act = Act { action: "member.delete", changed: &changed, part, old: Some(&old), new: None };
        audit::record(&mut transaction, act, change).await?;
        commit(transaction).await?;
        Ok(true)
    }

    async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        plans::list(&mut *self.read().await?).await
    }

    async fn put_plan(&self, plan: &Plan, change: &Change) -> Result<Plan, StoreError> {
        let mut transaction = self.write().await?;
        let old = plans::find(&mut transaction, &plan.plan).await?;
        if old.as_ref() != Some(plan) {
            plans::put(&mut transaction, plan).await?;
            let changed = Changed::Plan(plan.plan.clone());
            let act = Act { action: "plan.put", changed: &changed, part: None, old: old.as_ref(), new: Some(plan) };
            audit::record(&mut transaction, act, change).await?;
            commit(transaction).await?;
        }
        Ok(plan.clone())
    }

    async fn event_definitions(&self) -> Result<Vec<EventDefinition>, StoreError> {
        definitions::list(&mut *self.read().await?).await
    }

    async fn put_event_definition(
        &self,
        definition: &EventDefinition,
        change: &Change,
    ) -> Result<EventDefinition, StoreError> {
        let mut transaction = self.write().await?;
        let old = definitions::find(&mut transaction, &definition.event_type).await?;
        let version = old.as_ref().map_or(0, |old| old.version);
        let same = EventDefinition { version, ..definition.clone() };
        if old.as_ref() == Some(&same) {
            return Ok(same);
        }
        let wanted = EventDefinition { version: version.saturating_add(1), ..same };
        definitions::put(&mut transaction, &wanted).await?;
        let changed = Changed::EventDefinition(wanted.event_type.clone());
        let act = Act {
            action: "event_definition.put",
            changed: &changed,
            part: None,
            old: old.as_ref(),
            new: Some(&wanted),
        };
        audit::record(&mut transaction, act, change).await?;
        commit(transaction).await?;
        Ok(wanted)
    }

    async fn audit(&self, id: &OrganizationId, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        audit::list(&mut *self.read().await?, id, before, limit).await
    }

    async fn changes_since(&self, since: i64) -> Result<Vec<(i64, Changed)>, StoreError> {
        audit::changes_since(&mut *self.read().await?, since).await
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        audit::revision(&mut *self.read().await?).await
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
