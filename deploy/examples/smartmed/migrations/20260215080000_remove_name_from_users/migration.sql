-- Nothing here reads a row: the constraint is the proof of NOT NULL.
-- sluice: allow ban-drop-column reason="replaced by full_name"
DROP TRIGGER users_keep_names_equal ON users;
DROP FUNCTION users_keep_names_equal();
ALTER TABLE users ALTER COLUMN full_name SET NOT NULL;
ALTER TABLE users DROP CONSTRAINT users_full_name_present;
ALTER TABLE users DROP COLUMN name;
