-- Contract, at the earliest seven days after every Pod reads full_name. migration.yaml stops before this file until
-- somebody raises its target.
-- sluice: allow drop-column reason="replaced by full_name"
DROP TRIGGER residents_full_name ON residents;
DROP FUNCTION residents_full_name();
ALTER TABLE residents ADD CONSTRAINT residents_full_name_present CHECK (full_name IS NOT NULL) NOT VALID;
ALTER TABLE residents VALIDATE CONSTRAINT residents_full_name_present;
ALTER TABLE residents ALTER COLUMN full_name SET NOT NULL;
ALTER TABLE residents DROP CONSTRAINT residents_full_name_present;
ALTER TABLE residents DROP COLUMN first_name;
ALTER TABLE residents DROP COLUMN last_name;
