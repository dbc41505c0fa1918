-- PostgreSQL takes the constraint that is already proven for the proof of NOT NULL and reads nothing.
ALTER TABLE medication_logs ALTER COLUMN is_billed SET NOT NULL;
ALTER TABLE medication_logs DROP CONSTRAINT medication_logs_is_billed_present;
