//! Credits, holds, usage events and the traits of those who keep them.
//!
//! Pure: no I/O, no clock of its own, no framework. Time comes in through [`Clock`], amounts are [`Credits`], and
//! every sum is checked. This crate must never read a file, open a socket or know which database is used.

mod clock;
mod credits;
mod hexadecimal;
mod ids;
mod period;

mod api_key;
mod definition;
mod member;
mod organization;
mod plan;

mod adjustment;
mod answer_signals;
mod credit_grant;
mod event;
mod signals;

mod book;
mod lease;
mod level;

mod audit;
mod idempotency;
mod rerating;
mod rollout;
mod stores;
mod usage_query;

pub use adjustment::{Adjusted, Adjustment, AdjustmentRefused, Adjustments, NewAdjustment};
pub use answer_signals::{AnswerSignals, ModelUsage};
pub use api_key::{ApiKey, ApiKeyId, ApiKeys, KeyDigest, KeyMade};
pub use audit::{Actor, AuditEntry};
pub use book::{Book, BookSnapshot, Grant, Hold, HoldRefused, NotOpened, Spender, Spending};
pub use clock::{Clock, ManualClock, SystemClock, Uptime};
pub use credit_grant::{CreditGrant, CreditGrants, left_of};
pub use credits::{Credits, CreditsError, Limit};
pub use definition::{Clamp, EventDefinition, Thousandths};
pub use event::{ChargeItem, Outcome, PluginIdentity, PricedPlan, UsageEvent};
pub use hexadecimal::Hexadecimal;
pub use idempotency::{CallKey, Claimed, IdempotencyKey, IdempotencyStore, KeptAnswer, KeyClaim, KeyLimits, TakenKey};
pub use ids::{EventType, IdError, OrganizationId, PlanName, RequestId, SessionId, UsageEventId, UserId};
pub use lease::{
    InstanceId, Lease, LeaseGrant, LeaseKey, LeaseNews, LeaseRequest, LeaseTerms, LeaseUsed, Reach, Share, Ticket,
};
pub use level::{Level, PercentTenths};
pub use member::{Member, Role, SubscriptionStatus};
pub use organization::{AlertThresholds, Organization, OrganizationRecord, ThresholdsUpdate};
pub use period::{Day, Period, PeriodError, Timestamp, TimestampError};
pub use plan::{Plan, PlanPricing, UsageLimits};
pub use rerating::{NewPrice, Rerated, Rerating, Reratings};
pub use rollout::{Canary, CanaryShare, PluginFile, PluginHash, Rollout, Step, StepRefused, StoredPlugin};
pub use signals::{Scalar, Signals};
pub use stores::{
    Balance, Change, Changed, Directory, LeaseStore, ManagementUpdate, NewOrganization, Rollouts, StoreError, Updated,
    UsageStore, Version,
};
pub use usage_query::{
    DailyUsage, EventTypeUsage, HistoryFilter, HistoryPage, HistorySummary, MonthlyUsage, PageRequest, SessionUsage,
    UsageReport, UserUsage,
};
