-- Sluice must say: MigrationFailed, 42P07
--
-- This migration is wrong on purpose. It is a real mistake, made by two people on two branches: both added the
-- table of the vital signs, and the other one was merged first, into the initial schema.
--
-- The first statement is fine and runs. The second one fails with SQLSTATE 42P07, "relation already exists".
-- Sluice runs both in one transaction together with the row of the history, so after the failure there is no
-- column "isUnplanned", no row in _prisma_migrations and nothing to clean up. The condition Applied names this
-- file, the line and the statement, and the new version of the application stays held while the old Pods serve.

ALTER TABLE "appointments" ADD COLUMN "isUnplanned" boolean NOT NULL DEFAULT false;

CREATE TABLE "vital_signs" (
    "id"            uuid    NOT NULL DEFAULT gen_random_uuid(),
    "appointmentId" uuid    NOT NULL,
    "heartRate"     integer,
    CONSTRAINT "vital_signs_pkey" PRIMARY KEY ("id")
);
