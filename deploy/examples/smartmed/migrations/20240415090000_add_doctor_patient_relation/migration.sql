-- The doctor a patient usually sees. The constraint starts NOT VALID, so that it does not read the table under a lock.
ALTER TABLE patients ADD COLUMN doctor_id uuid;
ALTER TABLE patients ADD CONSTRAINT patients_doctor_id_fkey
    FOREIGN KEY (practice_id, doctor_id) REFERENCES users (practice_id, id) NOT VALID;
