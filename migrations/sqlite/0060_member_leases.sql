-- The same tables as on PostgreSQL. Nobody leases here: one gateway owns the database.

ALTER TABLE leases ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE lease_asks ADD COLUMN user_id TEXT NOT NULL DEFAULT '';

CREATE TABLE member_balances (
    organization_id TEXT NOT NULL,
    period_start_ms INTEGER NOT NULL,
    user_id         TEXT NOT NULL,
    used_micros     INTEGER NOT NULL,
    PRIMARY KEY (organization_id, period_start_ms, user_id)
) STRICT, WITHOUT ROWID;
