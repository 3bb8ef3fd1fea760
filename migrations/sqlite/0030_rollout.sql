-- Uploaded plugins, and which of them sets prices for whom. What is listed is apart from the files, which are long.

CREATE TABLE plugins (
    sha256          TEXT NOT NULL PRIMARY KEY,
    uploaded_at_ms  INTEGER NOT NULL,
    document        TEXT NOT NULL
) STRICT;

CREATE TABLE plugin_files (
    sha256      TEXT NOT NULL PRIMARY KEY REFERENCES plugins (sha256),
    cases       TEXT,
    signature   TEXT,
    content     BLOB NOT NULL
) STRICT;

-- One row.
CREATE TABLE pricing_rollout (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    document    TEXT NOT NULL
) STRICT;

-- A change may be of another kind now. Which kinds there are is said by the programs, which refuse one that they do not know.
CREATE TABLE directory_changes_next (
    revision    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL,
    key         TEXT NOT NULL
) STRICT;
INSERT INTO directory_changes_next (revision, kind, key) SELECT revision, kind, key FROM directory_changes;
DROP TABLE directory_changes;
ALTER TABLE directory_changes_next RENAME TO directory_changes;
