-- What each instance may spend without asking. One gateway owns a SQLite database and needs no lease: the tables are here
-- so that both databases have one schema, and stay empty.

CREATE TABLE leases (
    organization_id TEXT NOT NULL,
    period_start_ms INTEGER NOT NULL,
    instance_id     TEXT NOT NULL,
    granted_micros  INTEGER NOT NULL,
    granted_calls   INTEGER NOT NULL,
    charged_micros  INTEGER NOT NULL CHECK (charged_micros >= 0),
    charged_calls   INTEGER NOT NULL CHECK (charged_calls >= 0),
    epoch           INTEGER NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    yielded_at_ms   INTEGER NOT NULL,
    strikes         INTEGER NOT NULL CHECK (strikes >= 0),
    struck_at_ms    INTEGER NOT NULL,
    PRIMARY KEY (organization_id, period_start_ms, instance_id),
    CHECK (granted_micros >= charged_micros AND granted_calls >= charged_calls)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease_asks (
    organization_id TEXT NOT NULL,
    period_start_ms INTEGER NOT NULL,
    instance_id     TEXT NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (organization_id, period_start_ms, instance_id)
) STRICT, WITHOUT ROWID;
