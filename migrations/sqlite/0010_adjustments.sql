-- Adjustments: usage events that an operator makes, with credits below zero where they are given back. What a period used,
-- and a day of it, may be below zero too.
--
-- SQLite cannot drop a CHECK. This is how its documentation (lang_altertable.html, section 7) removes one without copying
-- a table that may be large: nothing that is stored changes. The new table below raises the schema's version.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'IN (''captured'', ''voided'', ''interrupted'')', 'IN (''captured'', ''voided'', ''interrupted'', ''adjusted'')'),
    'CHECK (credits_micros >= 0)', 'CHECK (credits_micros >= 0 OR outcome = ''adjusted'')')
    WHERE type = 'table' AND name = 'usage_events';
UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (used_micros >= 0)', '') WHERE type = 'table' AND name = 'balances';
UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (credits_micros >= 0)', '')
    WHERE type = 'table' AND name = 'daily_rollups';
PRAGMA writable_schema = RESET;

-- Σ credits of the adjustments among the events.
ALTER TABLE balances ADD COLUMN adjusted_micros INTEGER NOT NULL DEFAULT 0;

-- One key is one adjustment, for ever: what was asked for under it, and the event that it became.
CREATE TABLE adjustments (
    organization_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    event_id        TEXT NOT NULL,
    adjusts         TEXT,
    credits_micros  INTEGER NOT NULL,
    request         TEXT NOT NULL,
    document        TEXT NOT NULL,
    PRIMARY KEY (organization_id, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX adjustments_by_event ON adjustments (organization_id, event_id DESC);
CREATE INDEX adjustments_by_adjusted ON adjustments (organization_id, adjusts) WHERE adjusts IS NOT NULL;
