-- Sluice must say: SourceInvalid, COMMIT
-- The transaction, the row of the history and the verification belong together; a COMMIT in the middle would part them.
ALTER TABLE users ADD COLUMN title varchar(20);
COMMIT;
