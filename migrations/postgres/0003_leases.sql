-- What each instance may spend without asking: one row an organisation, period and instance. `crates/ledger/src/lease.rs`
-- says what the columns mean. Totals are credits in millionths and calls, times the database's own.

CREATE TABLE leases (
    organization_id TEXT COLLATE "C" NOT NULL,
    period_start_ms BIGINT NOT NULL,
    instance_id     TEXT COLLATE "C" NOT NULL,
    granted_micros  BIGINT NOT NULL,
    granted_calls   BIGINT NOT NULL,
    charged_micros  BIGINT NOT NULL CHECK (charged_micros >= 0),
    charged_calls   BIGINT NOT NULL CHECK (charged_calls >= 0),
    epoch           BIGINT NOT NULL,
    expires_at_ms   BIGINT NOT NULL,
    yielded_at_ms   BIGINT NOT NULL,
    strikes         BIGINT NOT NULL CHECK (strikes >= 0),
    struck_at_ms    BIGINT NOT NULL,
    PRIMARY KEY (organization_id, period_start_ms, instance_id),
    CHECK (granted_micros >= charged_micros AND granted_calls >= charged_calls)
) WITH (fillfactor = 60);

-- Who waits for credit that others have.
CREATE TABLE lease_asks (
    organization_id TEXT COLLATE "C" NOT NULL,
    period_start_ms BIGINT NOT NULL,
    instance_id     TEXT COLLATE "C" NOT NULL,
    expires_at_ms   BIGINT NOT NULL,
    PRIMARY KEY (organization_id, period_start_ms, instance_id)
);
