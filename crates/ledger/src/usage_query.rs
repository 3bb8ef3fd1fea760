//! Questions about usage, and the shapes of their answers.

use crate::{Adjustment, Credits, Day, EventType, Period, SessionId, Timestamp, UsageEvent, UserId};

/// Which events to show; every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Of this type.
    pub event_type: Option<EventType>,
    /// By this user.
    pub user_id: Option<UserId>,
    /// At or after this moment.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of this category.
    pub category: Option<String>,
    /// Charged at least this.
    pub credits_min: Option<Credits>,
    /// Charged at most this.
    pub credits_max: Option<Credits>,
    /// Of this session.
    pub session_id: Option<SessionId>,
}

/// Which part of the answer to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Counts from 1.
    pub page: u32,
    /// Events a page.
    pub limit: u32,
}

impl PageRequest {
    /// Events a page, at most.
    pub const LIMIT_MAX: u32 = 100;
    /// Events a page unless asked otherwise.
    pub const LIMIT_DEFAULT: u32 = 50;
}

/// One page of history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    /// The page's events, newest first, each with its user as known today.
    pub events: Vec<(UsageEvent, UserUsage)>,
    /// The sessions that the page's events belong to, over all their events.
    pub sessions: Vec<SessionUsage>,
    /// Over all events that pass the filter.
    pub summary: HistorySummary,
}

/// What all the events that pass a filter add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistorySummary {
    /// Σ credits.
    pub total_credits: Credits,
    /// How many.
    pub total_events: u64,
    /// How many different users.
    pub unique_users: u64,
    /// The oldest one's time.
    pub first: Option<Timestamp>,
    /// The newest one's time.
    pub last: Option<Timestamp>,
}

/// A session over all its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionUsage {
    /// The session.
    pub id: SessionId,
    /// Σ credits.
    pub credits: Credits,
    /// How many events.
    pub count: u64,
    /// Its first event.
    pub first: Timestamp,
    /// Its last event.
    pub last: Timestamp,
}

/// One period of one organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// By event type, most credits first.
    pub by_event_type: Vec<EventTypeUsage>,
    /// By user, most credits first.
    pub by_user: Vec<UserUsage>,
    /// By day, oldest first; days without events are left out.
    pub by_day: Vec<DailyUsage>,
    /// Σ credits.
    pub credits: Credits,
    /// How many events.
    pub count: u64,
}

impl UsageReport {
    /// Σ credits of the adjustments.
    pub fn adjusted(&self) -> Credits {
        let of_type = self.by_event_type.iter().find(|usage| usage.event_type.as_str() == Adjustment::KIND);
        of_type.map_or(Credits::ZERO, |usage| usage.credits)
    }

    /// Σ credits of the calls: what goes on as it went.
    pub fn of_calls(&self) -> Credits {
        self.credits.saturating_sub(self.adjusted())
    }
}

/// An event type's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTypeUsage {
    /// The event type.
    pub event_type: EventType,
    /// Σ credits.
    pub credits: Credits,
    /// How many events.
    pub count: u64,
}

/// A user's share, with what is known of the user today. In a history page `credits` and `count` are the event's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserUsage {
    /// The user.
    pub user_id: UserId,
    /// For people to read; `None` where the user is a member no more or has none.
    pub name: Option<String>,
    /// For people to read; `None` where the user is a member no more or has none.
    pub email: Option<String>,
    /// Σ credits.
    pub credits: Credits,
    /// How many events.
    pub count: u64,
}

/// A day's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyUsage {
    /// The day.
    pub day: Day,
    /// Σ credits.
    pub credits: Credits,
    /// How many events.
    pub count: u64,
}

/// A period's total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthlyUsage {
    /// The period.
    pub period: Period,
    /// Σ credits.
    pub credits: Credits,
    /// How many events.
    pub count: u64,
}
