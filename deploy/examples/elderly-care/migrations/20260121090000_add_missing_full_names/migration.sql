-- Migrate: the residents that were there before. The trigger fills the column for everyone who comes meanwhile.
-- sluice: backfill key=id batch=10000 pause=100ms
UPDATE residents SET full_name = first_name || ' ' || last_name WHERE full_name IS NULL;
