-- Devices at home and what they measure. A reading outlives its device.

-- Tables of this and every later migration are for the application to read and write; the history is not.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthcare_chronic_care_app;

CREATE TYPE "VitalType" AS ENUM ('blood_pressure', 'blood_glucose', 'heart_rate', 'oxygen_saturation', 'weight');
CREATE TYPE "AlertSeverity" AS ENUM ('low', 'high', 'critical');

CREATE TABLE "CareProgram" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"  uuid         NOT NULL,
    "providerId" uuid         NOT NULL,
    "condition"  text         NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "CareProgram_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "CareProgram_patientId_idx" ON "CareProgram" ("patientId");
CREATE INDEX "CareProgram_providerId_idx" ON "CareProgram" ("providerId");

CREATE TABLE "MonitoringDevice" (
    "id"           uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"    uuid         NOT NULL,
    "serialNumber" text         NOT NULL,
    "model"        text         NOT NULL,
    "createdAt"    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"    timestamp(3) NOT NULL,
    CONSTRAINT "MonitoringDevice_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "MonitoringDevice_serialNumber_key" ON "MonitoringDevice" ("serialNumber");
CREATE INDEX "MonitoringDevice_patientId_idx" ON "MonitoringDevice" ("patientId");

CREATE TABLE "VitalReading" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"  uuid         NOT NULL,
    "deviceId"   uuid,
    "type"       "VitalType"  NOT NULL,
    "value"      numeric      NOT NULL,
    "measuredAt" timestamp(3) NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "VitalReading_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "VitalReading_deviceId_fkey" FOREIGN KEY ("deviceId") REFERENCES "MonitoringDevice" ("id") ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE INDEX "VitalReading_deviceId_idx" ON "VitalReading" ("deviceId");
CREATE INDEX "VitalReading_patientId_measuredAt_idx" ON "VitalReading" ("patientId", "measuredAt");

CREATE TABLE "VitalAlert" (
    "id"             uuid            NOT NULL DEFAULT gen_random_uuid(),
    "vitalReadingId" uuid            NOT NULL,
    "severity"       "AlertSeverity" NOT NULL,
    "acknowledgedAt" timestamp(3),
    "createdAt"      timestamp(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"      timestamp(3)    NOT NULL,
    CONSTRAINT "VitalAlert_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "VitalAlert_vitalReadingId_fkey" FOREIGN KEY ("vitalReadingId") REFERENCES "VitalReading" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "VitalAlert_vitalReadingId_idx" ON "VitalAlert" ("vitalReadingId");
