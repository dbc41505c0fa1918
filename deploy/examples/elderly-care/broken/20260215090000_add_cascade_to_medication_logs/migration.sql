-- Sluice must say: VerificationFailed, foreign-key-required on public.medication_logs
-- Ten years of medication would go with a resident.
ALTER TABLE medication_logs DROP CONSTRAINT medication_logs_resident_id_fkey;
ALTER TABLE medication_logs ADD CONSTRAINT medication_logs_resident_id_fkey
    FOREIGN KEY (resident_id) REFERENCES residents (id) ON DELETE CASCADE;
