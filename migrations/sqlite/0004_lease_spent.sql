-- What each instance charged, applied or not, as it last told: it decides about nothing, and lets the others say what is left.

ALTER TABLE leases ADD COLUMN spent_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN spent_calls  INTEGER NOT NULL DEFAULT 0;
