-- Contract: Sluice holds this file, and what follows, until every resident has had a full name for a week.
-- sluice: contract of=20260121090000_add_missing_full_names min-age=168h
-- First the rule that each has one, for new rows at once.
ALTER TABLE residents ADD CONSTRAINT residents_full_name_present CHECK (full_name IS NOT NULL) NOT VALID;
