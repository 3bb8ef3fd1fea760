-- Organisations, members, plans, event definitions; usage events and what they add up to; audit and changes.
-- Amounts are micro-credits, times milliseconds since 1970 UTC, periods and days their first instant. Documents are JSON
-- in the shape that the API shows.

CREATE TABLE plans (
    plan        TEXT NOT NULL PRIMARY KEY,
    document    TEXT NOT NULL
) STRICT;

CREATE TABLE event_definitions (
    event_type  TEXT NOT NULL PRIMARY KEY,
    version     INTEGER NOT NULL CHECK (version > 0),
    document    TEXT NOT NULL
) STRICT;

CREATE TABLE organizations (
    organization_id     TEXT NOT NULL PRIMARY KEY,
    name                TEXT NOT NULL,
    plan                TEXT NOT NULL REFERENCES plans (plan),
    subscription_status TEXT NOT NULL CHECK (subscription_status IN ('active', 'trialing', 'past_due', 'canceled')),
    usage_limits        TEXT NOT NULL,
    alert_thresholds    TEXT NOT NULL,
    auto_scaling        TEXT NOT NULL,
    created_at_ms       INTEGER NOT NULL,
    updated_at_ms       INTEGER NOT NULL
) STRICT;

CREATE TABLE members (
    organization_id TEXT NOT NULL REFERENCES organizations (organization_id),
    user_id         TEXT NOT NULL,
    role            TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer', 'billing')),
    name            TEXT,
    email           TEXT,
    PRIMARY KEY (organization_id, user_id)
) STRICT;

-- Written once, never changed. The columns are what history filters by; the document is the whole event.
CREATE TABLE usage_events (
    event_id        TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    event_type      TEXT NOT NULL,
    category        TEXT NOT NULL,
    session_id      TEXT,
    occurred_at_ms  INTEGER NOT NULL,
    outcome         TEXT NOT NULL CHECK (outcome IN ('captured', 'voided', 'interrupted')),
    credits_micros  INTEGER NOT NULL CHECK (credits_micros >= 0),
    document        TEXT NOT NULL
) STRICT;

CREATE INDEX usage_events_by_time ON usage_events (organization_id, occurred_at_ms DESC, event_id DESC);
CREATE INDEX usage_events_by_session ON usage_events (organization_id, session_id) WHERE session_id IS NOT NULL;

CREATE TABLE balances (
    organization_id TEXT NOT NULL,
    period_start_ms INTEGER NOT NULL,
    used_micros     INTEGER NOT NULL CHECK (used_micros >= 0),
    events          INTEGER NOT NULL CHECK (events >= 0),
    calls           INTEGER NOT NULL CHECK (calls >= 0),
    PRIMARY KEY (organization_id, period_start_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE daily_rollups (
    organization_id TEXT NOT NULL,
    day_start_ms    INTEGER NOT NULL,
    event_type      TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    credits_micros  INTEGER NOT NULL CHECK (credits_micros >= 0),
    events          INTEGER NOT NULL CHECK (events >= 0),
    PRIMARY KEY (organization_id, day_start_ms, event_type, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_entries (
    audit_entry_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id TEXT,
    at_ms           INTEGER NOT NULL,
    actor           TEXT NOT NULL,
    action          TEXT NOT NULL,
    target          TEXT NOT NULL,
    old_value       TEXT NOT NULL,
    new_value       TEXT NOT NULL
) STRICT;

CREATE INDEX audit_entries_by_organization ON audit_entries (organization_id, audit_entry_id DESC);

-- What other processes must read anew.
CREATE TABLE directory_changes (
    revision    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL CHECK (kind IN ('organization', 'plan', 'event_definition')),
    key         TEXT NOT NULL
) STRICT;
