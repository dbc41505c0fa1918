-- 1000 patients at a time, each batch committed, going on behind the last id and not from the start. Filtering on NULL
-- and skipping what was done at the same time would leave half of the rows out. Stopped in the middle, Sluice goes on there.
-- sluice: backfill key=id batch=1000
UPDATE patients SET external_id = gen_random_uuid() WHERE external_id IS NULL;
