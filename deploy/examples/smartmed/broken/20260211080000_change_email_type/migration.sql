-- Sluice must say: MigrationFailed, 22001
-- Ten characters are too few for an address that is there already. On an empty table nothing would have failed.
ALTER TABLE users ALTER COLUMN email TYPE varchar(10);
