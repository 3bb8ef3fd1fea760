//! What an organisation asks to change of itself. Nothing that is unknown or out of bounds gets past here.

use ledger::{AlertThresholds, Limit, ManagementUpdate, UsageLimits};
use refusal::Refusal;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::bounded::{Count, Given, Percent};

/// A change: any of its parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    /// Limits in place of the plan's; what is absent or null is as the plan says.
    #[serde(default)]
    #[schema(value_type = Option<LimitsGiven>)]
    usage_limits: Given<LimitsGiven>,
    /// Percent of the limit at which to warn; what is absent or null is the default.
    #[serde(default)]
    #[schema(value_type = Option<ThresholdsGiven>)]
    alert_thresholds: Given<ThresholdsGiven>,
    /// Kept for the app as it is sent: an object or null.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    auto_scaling: Given<Map<String, Value>>,
}

/// Limits: -1 is unlimited, 0 or more is a limit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LimitsGiven {
    #[serde(alias = "creditsPerMonth")]
    #[schema(value_type = Option<f64>)]
    monthly_credits: Option<Limit>,
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

/// Percentages, 1 to 100.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThresholdsGiven {
    #[serde(alias = "warningThreshold")]
    #[schema(value_type = Option<u8>)]
    warning: Option<Percent>,
    #[serde(alias = "criticalThreshold")]
    #[schema(value_type = Option<u8>)]
    critical: Option<Percent>,
}

impl Update {
    /// The change as the store takes it; refused where it changes nothing.
    pub(super) fn checked(self) -> Result<ManagementUpdate, Refusal> {
        let update = ManagementUpdate {
            usage_limits: self.usage_limits.replacing(UsageLimits::from),
            alert_thresholds: self.alert_thresholds.replacing(AlertThresholds::from),
            auto_scaling: self.auto_scaling.replacing(Value::Object),
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
            ai_calls_per_month: count(given.ai_calls_per_month),
            pdf_exports_per_month: count(given.pdf_exports_per_month),
            session_limit: count(given.session_limit),
            team_members_limit: count(given.team_members_limit),
            storage_limit: count(given.storage_limit),
        }
    }
}

impl From<ThresholdsGiven> for AlertThresholds {
    fn from(given: ThresholdsGiven) -> Self {
        let Self { warning, critical } = Self::default();
        Self {
            warning: given.warning.map_or(warning, |percent| percent.0),
            critical: given.critical.map_or(critical, |percent| percent.0),
        }
    }
}
