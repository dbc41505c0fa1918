-- Nothing here reads a row: the constraint is the proof of NOT NULL.
-- sluice: allow ban-drop-column reason="replaced by full_name"
DROP TRIGGER residents_full_name ON residents;
DROP FUNCTION residents_full_name();
ALTER TABLE residents ALTER COLUMN full_name SET NOT NULL;
ALTER TABLE residents DROP CONSTRAINT residents_full_name_present;
ALTER TABLE residents DROP COLUMN first_name;
ALTER TABLE residents DROP COLUMN last_name;
