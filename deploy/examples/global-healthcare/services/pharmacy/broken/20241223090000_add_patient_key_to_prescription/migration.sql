-- Sluice must say: MigrationFailed, 42P01
-- Patients live in another database, and no foreign key reaches there.
ALTER TABLE "Prescription" ADD CONSTRAINT "Prescription_patientId_fkey"
    FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT;
