-- Sluice must say: VerificationFailed, index-required on public.Patient
-- An index is there, and it is not unique any more.
DROP INDEX "Patient_medicalRecordNumber_key";
CREATE INDEX "Patient_medicalRecordNumber_idx" ON "Patient" ("medicalRecordNumber");
