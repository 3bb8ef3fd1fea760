-- Keys of metered calls: one call and one charge for each, until its end. A row is claimed in the name of the usage event
-- that the call will have; answer_state says what is known of the answer.

CREATE TABLE idempotency_keys (
    organization_id TEXT COLLATE "C" NOT NULL,
    endpoint        TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    fingerprint     TEXT COLLATE "C" NOT NULL,
    event_id        TEXT COLLATE "C" NOT NULL,
    event_at_ms     BIGINT NOT NULL,
    instance_id     TEXT COLLATE "C" NOT NULL,
    expires_at_ms   BIGINT NOT NULL,
    answer_state    TEXT COLLATE "C" NOT NULL CHECK (answer_state IN ('awaited', 'dropped', 'whole')),
    answer_bytes    BIGINT NOT NULL CHECK (answer_bytes >= 0),
    answer          TEXT COLLATE "C",
    PRIMARY KEY (organization_id, endpoint, idempotency_key),
    CHECK ((answer IS NOT NULL) = (answer_state = 'whole'))
) WITH (fillfactor = 80);

CREATE INDEX idempotency_keys_by_end ON idempotency_keys (expires_at_ms);
CREATE INDEX idempotency_keys_awaited ON idempotency_keys (instance_id) WHERE answer_state = 'awaited';

-- How much each organisation keeps: its limits are guards on this row.
CREATE TABLE idempotency_totals (
    organization_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    keys            BIGINT NOT NULL CHECK (keys >= 0),
    answer_bytes    BIGINT NOT NULL CHECK (answer_bytes >= 0)
) WITH (fillfactor = 60);
