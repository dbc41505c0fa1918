-- Contract: the text takes the place of the number, with the rule that the number had. Nothing here reads a row.
-- sluice: allow ban-drop-column reason="replaced by the column that takes its name"
DROP TRIGGER residents_care_level ON residents;
DROP FUNCTION residents_care_level();
ALTER TABLE residents ALTER COLUMN care_level_pflegegrad_new SET NOT NULL;
ALTER TABLE residents DROP COLUMN care_level_pflegegrad;
ALTER TABLE residents RENAME COLUMN care_level_pflegegrad_new TO care_level_pflegegrad;
