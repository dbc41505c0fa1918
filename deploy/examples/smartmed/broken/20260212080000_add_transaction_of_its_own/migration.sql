-- Sluice must say: SourceInvalid, ROLLBACK
-- Tried out by hand and saved as it was: it would take back what it did, and be recorded as applied.
BEGIN;
ALTER TABLE users ADD COLUMN title varchar(20);
ROLLBACK;
