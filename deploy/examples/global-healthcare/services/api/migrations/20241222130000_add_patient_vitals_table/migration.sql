-- What is measured at the desk. What devices measure at home is the chronic-care service's.

CREATE TABLE "PatientVitals" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"   uuid         NOT NULL,
    "encounterId" uuid,
    "heartRate"   smallint,
    "systolic"    smallint,
    "diastolic"   smallint,
    "measuredAt"  timestamp(3) NOT NULL,
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "PatientVitals_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "PatientVitals_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "PatientVitals_encounterId_fkey" FOREIGN KEY ("encounterId") REFERENCES "Encounter" ("id") ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE INDEX "PatientVitals_patientId_measuredAt_idx" ON "PatientVitals" ("patientId", "measuredAt");
CREATE INDEX "PatientVitals_encounterId_idx" ON "PatientVitals" ("encounterId");
