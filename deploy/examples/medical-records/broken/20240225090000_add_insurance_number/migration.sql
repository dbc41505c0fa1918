-- Sluice must say: MigrationFailed, 23502
-- Required in one step, on a table that has rows.
ALTER TABLE "patients" ADD COLUMN "insuranceNumber" varchar(50) NOT NULL;
