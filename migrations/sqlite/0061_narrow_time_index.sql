-- The index of an organisation's events by time does without the event's id, a third of what an event costs to be added:
-- the few events of one millisecond are sorted when they are read.
DROP INDEX usage_events_by_time;
CREATE INDEX usage_events_by_time ON usage_events (organization_id, occurred_at_ms DESC);
