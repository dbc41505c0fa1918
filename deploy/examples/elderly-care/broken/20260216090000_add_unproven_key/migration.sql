-- Sluice must say: VerificationFailed, foreign-key-validated on public.vital_signs
-- The second step, VALIDATE, was forgotten.
ALTER TABLE vital_signs ADD COLUMN measured_by uuid;
ALTER TABLE vital_signs ADD CONSTRAINT vital_signs_measured_by_fkey FOREIGN KEY (measured_by) REFERENCES users (id) NOT VALID;
CREATE INDEX idx_vital_signs_measured_by ON vital_signs (measured_by);
