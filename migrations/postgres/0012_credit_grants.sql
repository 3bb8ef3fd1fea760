-- Grants that have not ended: the event that gave each, and where its credits are. What is left of one moves with the months.
CREATE TABLE credit_grants (
    organization_id TEXT COLLATE "C" NOT NULL,
    event_id        TEXT COLLATE "C" NOT NULL,
    expires_at_ms   BIGINT NOT NULL,
    period_start_ms BIGINT NOT NULL,
    credits_micros  BIGINT NOT NULL CHECK (credits_micros > 0),
    PRIMARY KEY (organization_id, event_id)
);

CREATE INDEX credit_grants_by_end ON credit_grants (expires_at_ms);
CREATE INDEX credit_grants_by_period ON credit_grants (period_start_ms);
