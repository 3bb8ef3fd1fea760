-- What was adjusted is looked up by event alone, of all organisations together: an event is of one of them.
DROP INDEX adjustments_by_adjusted;
CREATE INDEX adjustments_by_adjusted ON adjustments (adjusts) WHERE adjusts IS NOT NULL;
