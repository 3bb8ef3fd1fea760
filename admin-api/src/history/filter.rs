//! The filters of history: read from the query, all of them together, none guessed at.

use ledger::{Credits, Day, HistoryFilter, Timestamp, UserId};
use refusal::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::bounded::Name;
use crate::query::{Query, wrong};

const AMOUNT: &str = "a number of credits from 0 up with at most 6 decimals, such as 28 or 0.5";
const MOMENT: &str = "a day such as 2026-11-24, or an RFC 3339 moment such as 2026-11-24T08:20:30Z";

/// The filters that were applied.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filters {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    min_credits: Option<Credits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    max_credits: Option<Credits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
}

impl Filters {
    /// Shows that only this user's events were asked for.
    pub(super) fn narrow_to(&mut self, user: &UserId) {
        self.user_id = Some(user.to_string());
    }
}

/// The filters as they are shown and as the store takes them.
pub(super) fn read(query: &Query) -> Result<(Filters, HistoryFilter), Refusal> {
    let filter = HistoryFilter {
        event_type: query.parsed("eventType", "an event type of at most 128 bytes")?,
        user_id: query.parsed("userId", "a user id of at most 256 bytes")?,
        from: day_or_moment(query, "startDate")?.map(DayOrMoment::first),
        until: day_or_moment(query, "endDate")?.map(DayOrMoment::end),
        category: category(query)?,
        credits_min: amount(query, "minCredits")?,
        credits_max: amount(query, "maxCredits")?,
        session_id: query.parsed("sessionId", "a session id of at most 256 bytes")?,
    };
    if filter.from.zip(filter.until).is_some_and(|(from, until)| from >= until) {
        return Err(wrong("endDate", "it lies before startDate", "startDate or later"));
    }
    if filter.credits_min.zip(filter.credits_max).is_some_and(|(min, max)| min > max) {
        return Err(wrong("maxCredits", "it is less than minCredits", "minCredits or more"));
    }
    let text = |name| query.text(name).map(|text| text.map(str::to_owned));
    let filters = Filters {
        event_type: text("eventType")?,
        user_id: text("userId")?,
        start_date: text("startDate")?,
        end_date: text("endDate")?,
        category: text("category")?,
        min_credits: filter.credits_min,
        max_credits: filter.credits_max,
        session_id: text("sessionId")?,
    };
    Ok((filters, filter))
}

/// A moment, or a whole day.
#[derive(Clone, Copy)]
enum DayOrMoment {
    Day(Day),
    Moment(Timestamp),
}

impl DayOrMoment {
    /// The first instant that it covers.
    fn first(self) -> Timestamp {
        match self {
            Self::Day(day) => day.start(),
            Self::Moment(moment) => moment,
        }
    }

    /// The first instant after it.
    fn end(self) -> Timestamp {
        match self {
            Self::Day(day) => day.end(),
            Self::Moment(moment) => moment.plus_millis(1),
        }
    }
}

fn day_or_moment(query: &Query, name: &str) -> Result<Option<DayOrMoment>, Refusal> {
    let Some(text) = query.text(name)? else { return Ok(None) };
    if let Ok(day) = text.parse() {
        return Ok(Some(DayOrMoment::Day(day)));
    }
    // A plus sign that was not escaped arrives as a blank.
    let moment = text.parse().or_else(|_| text.replace(' ', "+").parse());
    moment
        .map(|moment| Some(DayOrMoment::Moment(moment)))
        .map_err(|_| wrong(name, "neither a day nor a moment", MOMENT))
}

fn amount(query: &Query, name: &str) -> Result<Option<Credits>, Refusal> {
    let amount = query.parsed::<Credits>(name, AMOUNT)?;
    if amount.is_some_and(Credits::is_negative) {
        return Err(wrong(name, "it is below zero", AMOUNT));
    }
    Ok(amount)
}

fn category(query: &Query) -> Result<Option<String>, Refusal> {
    let category = query.text("category")?;
    if category.is_some_and(|category| category.len() > Name::BYTES_MAX) {
        return Err(wrong("category", "too long", "a category of at most 200 bytes"));
    }
    Ok(category.map(str::to_owned))
}
