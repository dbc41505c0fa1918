-- NOT NULL in three files. The constraint holds for every new row at once and reads none of the old ones, so the lock that
-- keeps even readers out is held for a moment.
ALTER TABLE medication_logs ADD CONSTRAINT medication_logs_is_billed_present CHECK (is_billed IS NOT NULL) NOT VALID;
