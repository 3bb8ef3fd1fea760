-- Uploaded plugins, and which of them sets prices for whom. What is listed is apart from the files, which are long.

CREATE TABLE plugins (
    sha256          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    uploaded_at_ms  BIGINT NOT NULL,
    document        TEXT NOT NULL
);

CREATE TABLE plugin_files (
    sha256      TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES plugins (sha256),
    cases       TEXT,
    signature   TEXT,
    content     BYTEA NOT NULL
);

-- One row.
CREATE TABLE pricing_rollout (
    one         BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    document    TEXT NOT NULL
);

-- A change may be of another kind now. Which kinds there are is said by the programs, which refuse one that they do not know.
ALTER TABLE directory_changes DROP CONSTRAINT IF EXISTS directory_changes_kind_check;
