-- Sluice must say: MigrationFailed, 22001
-- Shorter than what is stored. On an empty table nothing would have failed.
ALTER TABLE "patients" ALTER COLUMN "phone" TYPE varchar(20);
