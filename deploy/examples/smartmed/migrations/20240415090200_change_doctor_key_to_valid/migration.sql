-- sluice: no-transaction
-- The rows that were there already, in a transaction of its own: everybody reads and writes meanwhile.
ALTER TABLE patients VALIDATE CONSTRAINT patients_doctor_id_fkey;
