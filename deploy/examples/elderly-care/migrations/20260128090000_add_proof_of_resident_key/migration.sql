-- sluice: no-transaction
-- The second step, outside the transaction of the first: it reads the old rows and lets everybody write meanwhile.
ALTER TABLE medication_logs VALIDATE CONSTRAINT medication_logs_resident_id_fkey;
