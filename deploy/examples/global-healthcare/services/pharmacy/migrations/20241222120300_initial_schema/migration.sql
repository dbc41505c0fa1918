-- Medication by NDC code, what was prescribed, and what was handed out.

-- Tables of this and every later migration are for the application to read and write; the history is not.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthcare_pharmacy_app;

CREATE TYPE "PrescriptionStatus" AS ENUM ('draft', 'active', 'on_hold', 'completed', 'cancelled');

CREATE TABLE "Medication" (
    "id"           uuid         NOT NULL DEFAULT gen_random_uuid(),
    "ndcCode"      text         NOT NULL,
    "name"         text         NOT NULL,
    "isControlled" boolean      NOT NULL DEFAULT false,
    "createdAt"    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"    timestamp(3) NOT NULL,
    CONSTRAINT "Medication_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Medication_ndcCode_key" ON "Medication" ("ndcCode");

CREATE TABLE "Prescription" (
    "id"           uuid                 NOT NULL DEFAULT gen_random_uuid(),
    "patientId"    uuid                 NOT NULL,
    "providerId"   uuid                 NOT NULL,
    "encounterId"  uuid                 NOT NULL,
    "medicationId" uuid                 NOT NULL,
    "status"       "PrescriptionStatus" NOT NULL DEFAULT 'draft',
    "dosage"       text                 NOT NULL,
    "createdAt"    timestamp(3)         NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"    timestamp(3)         NOT NULL,
    CONSTRAINT "Prescription_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Prescription_medicationId_fkey" FOREIGN KEY ("medicationId") REFERENCES "Medication" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Prescription_patientId_status_idx" ON "Prescription" ("patientId", "status");
CREATE INDEX "Prescription_providerId_idx" ON "Prescription" ("providerId");
CREATE INDEX "Prescription_encounterId_idx" ON "Prescription" ("encounterId");
CREATE INDEX "Prescription_medicationId_idx" ON "Prescription" ("medicationId");

CREATE TABLE "Dispense" (
    "id"             uuid         NOT NULL DEFAULT gen_random_uuid(),
    "prescriptionId" uuid         NOT NULL,
    "quantity"       integer      NOT NULL,
    "dispensedAt"    timestamp(3) NOT NULL,
    "createdAt"      timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"      timestamp(3) NOT NULL,
    CONSTRAINT "Dispense_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Dispense_prescriptionId_fkey" FOREIGN KEY ("prescriptionId") REFERENCES "Prescription" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Dispense_prescriptionId_idx" ON "Dispense" ("prescriptionId");

CREATE TABLE "RefillRequest" (
    "id"             uuid         NOT NULL DEFAULT gen_random_uuid(),
    "prescriptionId" uuid         NOT NULL,
    "requestedAt"    timestamp(3) NOT NULL,
    "createdAt"      timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"      timestamp(3) NOT NULL,
    CONSTRAINT "RefillRequest_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "RefillRequest_prescriptionId_fkey" FOREIGN KEY ("prescriptionId") REFERENCES "Prescription" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "RefillRequest_prescriptionId_idx" ON "RefillRequest" ("prescriptionId");
