-- What plans and event definitions said before: a version is written once and never changed, so that an event that names
-- it can be explained. What was there before this migration has nobody and no moment to name.

CREATE TABLE plan_versions (
    plan        TEXT NOT NULL,
    version     INTEGER NOT NULL CHECK (version > 0),
    document    TEXT NOT NULL,
    at_ms       INTEGER,
    made_by     TEXT,
    PRIMARY KEY (plan, version)
) STRICT;
INSERT INTO plan_versions (plan, version, document) SELECT plan, 1, document FROM plans;

CREATE TABLE event_definition_versions (
    event_type  TEXT NOT NULL,
    version     INTEGER NOT NULL CHECK (version > 0),
    document    TEXT NOT NULL,
    at_ms       INTEGER,
    made_by     TEXT,
    PRIMARY KEY (event_type, version)
) STRICT;
INSERT INTO event_definition_versions (event_type, version, document)
    SELECT event_type, version, document FROM event_definitions;
