-- Adjustments: usage events that an operator makes, with credits below zero where they are given back. What a period used,
-- and a day of it, may be below zero too. What is stored passes the new checks, since it passed the old ones: it is not
-- read again.
ALTER TABLE usage_events DROP CONSTRAINT usage_events_outcome_check;
ALTER TABLE usage_events DROP CONSTRAINT usage_events_credits_micros_check;
ALTER TABLE usage_events ADD CONSTRAINT usage_events_outcome_check
    CHECK (outcome IN ('captured', 'voided', 'interrupted', 'adjusted')) NOT VALID;
ALTER TABLE usage_events ADD CONSTRAINT usage_events_credits_micros_check
    CHECK (credits_micros >= 0 OR outcome = 'adjusted') NOT VALID;
ALTER TABLE balances DROP CONSTRAINT balances_used_micros_check;
ALTER TABLE daily_rollups DROP CONSTRAINT daily_rollups_credits_micros_check;

-- Σ credits of the adjustments among the events.
ALTER TABLE balances ADD COLUMN adjusted_micros BIGINT NOT NULL DEFAULT 0;

-- One key is one adjustment, for ever: what was asked for under it, and the event that it became.
CREATE TABLE adjustments (
    organization_id TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    event_id        TEXT COLLATE "C" NOT NULL,
    adjusts         TEXT COLLATE "C",
    credits_micros  BIGINT NOT NULL,
    request         TEXT NOT NULL,
    document        TEXT NOT NULL,
    PRIMARY KEY (organization_id, idempotency_key)
);

CREATE UNIQUE INDEX adjustments_by_event ON adjustments (organization_id, event_id DESC);
CREATE INDEX adjustments_by_adjusted ON adjustments (organization_id, adjusts) WHERE adjusts IS NOT NULL;
