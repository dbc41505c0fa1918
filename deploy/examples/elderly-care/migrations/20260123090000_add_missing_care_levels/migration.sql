-- sluice: backfill key=id batch=10000 pause=100ms
UPDATE residents SET care_level_pflegegrad_new = care_level_pflegegrad::text
WHERE care_level_pflegegrad_new IS NULL AND care_level_pflegegrad IS NOT NULL;
