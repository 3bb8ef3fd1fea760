//! How far a limit is used, as every report shows it. -1 stands for no limit, so that "unlimited" is never read as zero.

use ledger::{Credits, Level, Limit, OrganizationRecord, PercentTenths};
use serde::Serialize;
use utoipa::ToSchema;

/// A limit and what is used of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overview {
    /// The limit; -1 is unlimited.
    #[schema(value_type = f64)]
    pub(crate) total_credits: Limit,
    #[schema(value_type = f64)]
    pub(crate) used_credits: Credits,
    /// What the limit leaves; -1 is unlimited.
    #[schema(value_type = f64)]
    pub(crate) remaining_credits: Limit,
    /// One decimal; 0 where there is no limit.
    #[schema(value_type = f64)]
    percentage_used: PercentTenths,
    is_near_limit: bool,
    is_over_limit: bool,
    /// Percent of the limit from which it is near.
    warning_threshold: u8,
}

impl Overview {
    /// What is used of an organisation's limit.
    pub(crate) fn of(record: &OrganizationRecord, used: Credits) -> Self {
        let limit = record.grant().credits;
        let warning_threshold = record.organization.alert_thresholds.warning;
        let Level { percentage_used, is_near_limit, is_over_limit } = Level::of(used, limit, warning_threshold);
        Self {
            total_credits: limit,
            used_credits: used,
            remaining_credits: left(limit, used),
            percentage_used,
            is_near_limit,
            is_over_limit,
            warning_threshold,
        }
    }
}

/// What a limit leaves after `spent`.
pub(crate) fn left(limit: Limit, spent: Credits) -> Limit {
    limit.remaining(spent).map_or(Limit::Unlimited, Limit::Credits)
}
