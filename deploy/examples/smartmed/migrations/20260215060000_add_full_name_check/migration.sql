-- The end of the change of 20260201080000: Sluice holds this file, and what follows, until every user has had a full name for a week.
-- sluice: contract of=20260202080000_change_missing_full_names min-age=168h
-- First the rule, for new rows at once.
ALTER TABLE users ADD CONSTRAINT users_full_name_present CHECK (full_name IS NOT NULL) NOT VALID;
