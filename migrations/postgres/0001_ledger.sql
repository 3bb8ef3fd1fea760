-- Organisations, members, plans, event definitions; usage events and what they add up to; audit and changes.
-- Amounts are micro-credits, times milliseconds since 1970 UTC, periods and days their first instant. Documents are JSON
-- in the shape that the API shows, kept as text so that they read back byte for byte. Texts compare by their bytes, so
-- that lists have one order whatever the database's locale.

CREATE TABLE plans (
    plan        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    document    TEXT NOT NULL
);

CREATE TABLE event_definitions (
    event_type  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version     BIGINT NOT NULL CHECK (version > 0),
    document    TEXT NOT NULL
);

CREATE TABLE organizations (
    organization_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name                TEXT NOT NULL,
    plan                TEXT COLLATE "C" NOT NULL REFERENCES plans (plan),
    subscription_status TEXT NOT NULL CHECK (subscription_status IN ('active', 'trialing', 'past_due', 'canceled')),
    usage_limits        TEXT NOT NULL,
    alert_thresholds    TEXT NOT NULL,
    auto_scaling        TEXT NOT NULL,
    created_at_ms       BIGINT NOT NULL,
    updated_at_ms       BIGINT NOT NULL
);

CREATE TABLE members (
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (organization_id),
    user_id         TEXT COLLATE "C" NOT NULL,
    role            TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer', 'billing')),
    name            TEXT,
    email           TEXT,
    PRIMARY KEY (organization_id, user_id)
);

-- Written once, never changed. The columns are what history filters by; the document is the whole event.
-- One partition a month, made ahead by the programs and dropped by retention. A key must have what is partitioned by in
-- it: the id is a UUIDv7 whose time is occurred_at_ms, so one id has one time, and the pair is as unique as the id.
-- There is no default partition: what it held would stand in the way of the month's own one.
CREATE TABLE usage_events (
    event_id        TEXT COLLATE "C" NOT NULL,
    organization_id TEXT COLLATE "C" NOT NULL,
    user_id         TEXT COLLATE "C" NOT NULL,
    event_type      TEXT COLLATE "C" NOT NULL,
    category        TEXT COLLATE "C" NOT NULL,
    session_id      TEXT COLLATE "C",
    occurred_at_ms  BIGINT NOT NULL,
    outcome         TEXT NOT NULL CHECK (outcome IN ('captured', 'voided', 'interrupted')),
    credits_micros  BIGINT NOT NULL CHECK (credits_micros >= 0),
    document        TEXT NOT NULL,
    PRIMARY KEY (occurred_at_ms, event_id)
) PARTITION BY RANGE (occurred_at_ms);

CREATE INDEX usage_events_by_time ON usage_events (organization_id, occurred_at_ms DESC, event_id DESC);
CREATE INDEX usage_events_by_session ON usage_events (organization_id, session_id) WHERE session_id IS NOT NULL;

-- Room in each page, so that a changed sum finds its new place beside the old one and no index is touched.
CREATE TABLE balances (
    organization_id TEXT COLLATE "C" NOT NULL,
    period_start_ms BIGINT NOT NULL,
    used_micros     BIGINT NOT NULL CHECK (used_micros >= 0),
    events          BIGINT NOT NULL CHECK (events >= 0),
    calls           BIGINT NOT NULL CHECK (calls >= 0),
    PRIMARY KEY (organization_id, period_start_ms)
) WITH (fillfactor = 60);

CREATE TABLE daily_rollups (
    organization_id TEXT COLLATE "C" NOT NULL,
    day_start_ms    BIGINT NOT NULL,
    event_type      TEXT COLLATE "C" NOT NULL,
    user_id         TEXT COLLATE "C" NOT NULL,
    credits_micros  BIGINT NOT NULL CHECK (credits_micros >= 0),
    events          BIGINT NOT NULL CHECK (events >= 0),
    PRIMARY KEY (organization_id, day_start_ms, event_type, user_id)
) WITH (fillfactor = 60);

CREATE TABLE audit_entries (
    audit_entry_id  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id TEXT COLLATE "C",
    at_ms           BIGINT NOT NULL,
    actor           TEXT NOT NULL,
    action          TEXT NOT NULL,
    target          TEXT NOT NULL,
    old_value       TEXT NOT NULL,
    new_value       TEXT NOT NULL
);

CREATE INDEX audit_entries_by_organization ON audit_entries (organization_id, audit_entry_id DESC);

-- What other processes must read anew.
CREATE TABLE directory_changes (
    revision    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('organization', 'plan', 'event_definition')),
    key         TEXT NOT NULL
);
