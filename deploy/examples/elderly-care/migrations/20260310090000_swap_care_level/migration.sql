-- Contract: the text takes the place of the number, with the rule that the number had.
-- sluice: allow drop-column reason="replaced by the column that takes its name"
DROP TRIGGER residents_care_level ON residents;
DROP FUNCTION residents_care_level();
ALTER TABLE residents ADD CONSTRAINT residents_care_level_pflegegrad_known
    CHECK (care_level_pflegegrad_new IS NOT NULL AND care_level_pflegegrad_new IN ('1', '2', '3', '4', '5')) NOT VALID;
ALTER TABLE residents VALIDATE CONSTRAINT residents_care_level_pflegegrad_known;
ALTER TABLE residents ALTER COLUMN care_level_pflegegrad_new SET NOT NULL;
ALTER TABLE residents DROP COLUMN care_level_pflegegrad;
ALTER TABLE residents RENAME COLUMN care_level_pflegegrad_new TO care_level_pflegegrad;
