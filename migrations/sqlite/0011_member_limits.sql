-- What a member may spend in a period: micro-credits, -1 without limit; absent as the organisation says for each member.
ALTER TABLE members ADD COLUMN monthly_credits_micros INTEGER;
