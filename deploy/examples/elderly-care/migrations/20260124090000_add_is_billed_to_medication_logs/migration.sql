-- New rows get a value from now on; the old ones are filled in batches, in the next file.
ALTER TABLE medication_logs ADD COLUMN is_billed boolean;
ALTER TABLE medication_logs ALTER COLUMN is_billed SET DEFAULT false;
