-- Outside a transaction and beside the writers: the index first, then the check of the rows that were there already.
CREATE INDEX CONCURRENTLY idx_patients_practice_id_doctor_id ON patients (practice_id, doctor_id);
ALTER TABLE patients VALIDATE CONSTRAINT patients_doctor_id_fkey;
