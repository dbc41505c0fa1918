-- Sluice must say: MigrationFailed, 23502
-- Required before every user has one.
ALTER TABLE "User" ALTER COLUMN "phoneNumber" SET NOT NULL;
