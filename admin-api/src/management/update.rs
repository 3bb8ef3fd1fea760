//! What an organisation asks to change of itself. Nothing that is unknown or out of bounds gets past here.

mod scaling;

use ledger::{AlertThresholds, Limit, ManagementUpdate, UsageLimits};
use refusal::Refusal;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::bounded::{Count, Given, Object, Percent};

use scaling::ScalingGiven;

/// A change: any of its parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    /// Limits in place of the plan's; what is absent or null is as the plan says.
    #[serde(default)]
    #[schema(value_type = Option<LimitsGiven>)]
    usage_limits: Given<Object<LimitsGiven>>,
    /// Percent of the limit at which to warn; what is absent stays, what is null is the default.
    #[serde(default)]
    #[schema(value_type = Option<ThresholdsGiven>)]
    alert_thresholds: Given<Object<ThresholdsGiven>>,
    /// The app's automatic scaling, kept for it; null is none.
    #[serde(default)]
    #[schema(value_type = Option<ScalingGiven>)]
    auto_scaling: Given<Object<ScalingGiven>>,
}

/// Limits: -1 is unlimited, 0 or more is a limit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LimitsGiven {
    #[serde(alias = "creditsPerMonth")]
    #[schema(value_type = Option<f64>)]
    monthly_credits: Option<Limit>,
    /// For each member that has no limit of their own.
    #[schema(value_type = Option<f64>)]
    member_monthly_credits: Option<Limit>,
    #[schema(value_type = Option<i64>)]
    ai_calls_per_month: Option<Count>,
    #[schema(value_type = Option<i64>)]
    pdf_exports_per_month: Option<Count>,
    #[schema(value_type = Option<i64>)]
    session_limit: Option<Count>,
    #[schema(value_type = Option<i64>)]
    team_members_limit: Option<Count>,
    #[schema(value_type = Option<i64>)]
    storage_limit: Option<Count>,
}

/// Percentages, 1 to 100; critical is at least warning.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThresholdsGiven {
    #[serde(default, alias = "warningThreshold")]
    #[schema(value_type = Option<u8>)]
    warning: Given<Percent>,
    #[serde(default, alias = "criticalThreshold")]
    #[schema(value_type = Option<u8>)]
    critical: Given<Percent>,
}

impl Update {
    /// The change as the store takes it, given the thresholds at present; refused where it changes nothing.
    pub(super) fn checked(self, present: AlertThresholds) -> Result<ManagementUpdate, Refusal> {
        let alert_thresholds = match self.alert_thresholds {
            Given::Absent => None,
            Given::Null => Some(AlertThresholds::default()),
            Given::Value(Object(given)) => Some(given.over(present)?),
        };
        let update = ManagementUpdate {
            usage_limits: self.usage_limits.replacing(|Object(limits)| limits.into()),
            alert_thresholds,
            auto_scaling: self.auto_scaling.replacing(|Object(scaling)| scaling.kept()),
        };
        if update == ManagementUpdate::default() {
            let allowed = "The body changes nothing; allowed: any of usageLimits, alertThresholds, autoScaling.";
            return Err(Refusal::InvalidRequest(allowed.to_owned()));
        }
        Ok(update)
    }
}

impl From<LimitsGiven> for UsageLimits {
    fn from(given: LimitsGiven) -> Self {
        let count = |count: Option<Count>| count.map(|count| count.0);
        Self {
            monthly_credits: given.monthly_credits,
            member_monthly_credits: given.member_monthly_credits,
            ai_calls_per_month: count(given.ai_calls_per_month),
            pdf_exports_per_month: count(given.pdf_exports_per_month),
            session_limit: count(given.session_limit),
            team_members_limit: count(given.team_members_limit),
            storage_limit: count(given.storage_limit),
        }
    }
}

impl ThresholdsGiven {
    /// These thresholds, with the present ones where they are silent.
    fn over(self, present: AlertThresholds) -> Result<AlertThresholds, Refusal> {
        let unset = AlertThresholds::default();
        let warning = self.warning.else_of(present.warning, unset.warning, |percent| percent.0);
        let critical = self.critical.else_of(present.critical, unset.critical, |percent| percent.0);
        if critical < warning {
            let why = format!("alertThresholds.critical: {critical} is less than warning; allowed: {warning} to 100.");
            return Err(Refusal::InvalidRequest(why));
        }
        Ok(AlertThresholds { warning, critical })
    }
}
