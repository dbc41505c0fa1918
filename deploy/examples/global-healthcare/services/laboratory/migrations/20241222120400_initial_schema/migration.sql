-- From the order to the result.

-- Tables of this and every later migration are for the application to read and write; the history is not.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthcare_laboratory_app;

CREATE TYPE "LabOrderStatus" AS ENUM ('ordered', 'collected', 'in_progress', 'resulted', 'cancelled');
CREATE TYPE "ResultFlag" AS ENUM ('normal', 'low', 'high', 'critical');

CREATE TABLE "LabOrder" (
    "id"          uuid             NOT NULL DEFAULT gen_random_uuid(),
    "patientId"   uuid             NOT NULL,
    "providerId"  uuid             NOT NULL,
    "encounterId" uuid             NOT NULL,
    "status"      "LabOrderStatus" NOT NULL DEFAULT 'ordered',
    "createdAt"   timestamp(3)     NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3)     NOT NULL,
    CONSTRAINT "LabOrder_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "LabOrder_patientId_status_idx" ON "LabOrder" ("patientId", "status");
CREATE INDEX "LabOrder_providerId_idx" ON "LabOrder" ("providerId");
CREATE INDEX "LabOrder_encounterId_idx" ON "LabOrder" ("encounterId");

CREATE TABLE "LabOrderTest" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "labOrderId" uuid         NOT NULL,
    "code"       text         NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "LabOrderTest_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "LabOrderTest_labOrderId_fkey" FOREIGN KEY ("labOrderId") REFERENCES "LabOrder" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "LabOrderTest_labOrderId_code_key" ON "LabOrderTest" ("labOrderId", "code");

CREATE TABLE "Specimen" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "labOrderId"  uuid         NOT NULL,
    "barcode"     text         NOT NULL,
    "collectedAt" timestamp(3),
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "Specimen_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Specimen_labOrderId_fkey" FOREIGN KEY ("labOrderId") REFERENCES "LabOrder" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE UNIQUE INDEX "Specimen_barcode_key" ON "Specimen" ("barcode");
CREATE INDEX "Specimen_labOrderId_idx" ON "Specimen" ("labOrderId");

CREATE TABLE "LabResult" (
    "id"             uuid         NOT NULL DEFAULT gen_random_uuid(),
    "labOrderTestId" uuid         NOT NULL,
    "value"          text         NOT NULL,
    "unit"           text,
    "flag"           "ResultFlag" NOT NULL DEFAULT 'normal',
    "createdAt"      timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"      timestamp(3) NOT NULL,
    CONSTRAINT "LabResult_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "LabResult_labOrderTestId_fkey" FOREIGN KEY ("labOrderTestId") REFERENCES "LabOrderTest" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "LabResult_labOrderTestId_idx" ON "LabResult" ("labOrderTestId");
