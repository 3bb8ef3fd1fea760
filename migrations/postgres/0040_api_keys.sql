-- Keys by which machines call for an organisation. Of a secret only its SHA-256 is kept; document is the rest of the key.
CREATE TABLE api_keys (
    key_id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id TEXT COLLATE "C" NOT NULL,
    digest          TEXT COLLATE "C" NOT NULL UNIQUE,
    document        TEXT NOT NULL
);

CREATE INDEX api_keys_by_organization ON api_keys (organization_id);
