-- The end of the change of 20260201080000, at the earliest seven days after it, when no Pod reads "name" any more.
-- migration.yaml stops before this file until somebody raises its target. First the rule, for new rows at once.
ALTER TABLE users ADD CONSTRAINT users_full_name_present CHECK (full_name IS NOT NULL) NOT VALID;
