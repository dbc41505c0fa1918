-- The constraint is proven while everybody works; PostgreSQL then takes it for the proof of NOT NULL and reads nothing.
ALTER TABLE medication_logs ADD CONSTRAINT medication_logs_is_billed_present CHECK (is_billed IS NOT NULL) NOT VALID;
ALTER TABLE medication_logs VALIDATE CONSTRAINT medication_logs_is_billed_present;
ALTER TABLE medication_logs ALTER COLUMN is_billed SET NOT NULL;
ALTER TABLE medication_logs DROP CONSTRAINT medication_logs_is_billed_present;
