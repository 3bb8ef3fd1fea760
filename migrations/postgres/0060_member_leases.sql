-- A member who has a limit leases credit as the organisation does: the rows of that account name the user, those of the
-- organisation have ''. What such a member used is kept beside the balances from the account's first lease on.

ALTER TABLE leases ADD COLUMN user_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE leases DROP CONSTRAINT leases_pkey;
ALTER TABLE leases ADD PRIMARY KEY (organization_id, period_start_ms, user_id, instance_id);
ALTER TABLE lease_asks ADD COLUMN user_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE lease_asks DROP CONSTRAINT lease_asks_pkey;
ALTER TABLE lease_asks ADD PRIMARY KEY (organization_id, period_start_ms, user_id, instance_id);

CREATE TABLE member_balances (
    organization_id TEXT COLLATE "C" NOT NULL,
    period_start_ms BIGINT NOT NULL,
    user_id         TEXT COLLATE "C" NOT NULL,
    used_micros     BIGINT NOT NULL,
    PRIMARY KEY (organization_id, period_start_ms, user_id)
) WITH (fillfactor = 60);
