-- Sluice must say: MigrationFailed, 42P07
-- The initial schema has it already.
CREATE INDEX "patients_email_idx" ON "patients" ("email");
