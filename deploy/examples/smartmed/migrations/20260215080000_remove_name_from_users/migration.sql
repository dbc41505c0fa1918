-- The end of the change of 20260201080000, at the earliest seven days after it, when no Pod reads "name" any more.
-- migration.yaml stops before this file until somebody raises its target.
-- sluice: allow drop-column reason="replaced by full_name"
DROP TRIGGER users_keep_names_equal ON users;
DROP FUNCTION users_keep_names_equal();
ALTER TABLE users ADD CONSTRAINT users_full_name_present CHECK (full_name IS NOT NULL) NOT VALID;
ALTER TABLE users VALIDATE CONSTRAINT users_full_name_present;
ALTER TABLE users ALTER COLUMN full_name SET NOT NULL;
ALTER TABLE users DROP CONSTRAINT users_full_name_present;
ALTER TABLE users DROP COLUMN name;
