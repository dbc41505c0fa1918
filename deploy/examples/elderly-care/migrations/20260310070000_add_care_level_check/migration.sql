-- sluice: contract of=20260123090000_add_missing_care_levels min-age=168h
-- The rule that the number had, for the text that takes its place.
ALTER TABLE residents ADD CONSTRAINT residents_care_level_pflegegrad_known
    CHECK (care_level_pflegegrad_new IS NOT NULL AND care_level_pflegegrad_new IN ('1', '2', '3', '4', '5')) NOT VALID;
