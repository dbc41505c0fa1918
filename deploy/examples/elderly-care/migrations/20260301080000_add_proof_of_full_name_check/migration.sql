-- sluice: no-transaction
-- The proof, in a file and a transaction of its own: the constraint is committed, so its lock is gone, and everybody reads and
-- writes while the rows are read.
ALTER TABLE residents VALIDATE CONSTRAINT residents_full_name_present;
