-- Orders, studies and reports. The pictures are in the PACS; here is where to find them, by their DICOM numbers.

-- Tables of this and every later migration are for the application to read and write; the history is not.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthcare_imaging_app;

CREATE TYPE "ImagingOrderStatus" AS ENUM ('ordered', 'scheduled', 'completed', 'cancelled');
CREATE TYPE "Modality" AS ENUM ('ct', 'mr', 'us', 'xr');

CREATE TABLE "ImagingOrder" (
    "id"         uuid                 NOT NULL DEFAULT gen_random_uuid(),
    "patientId"  uuid                 NOT NULL,
    "providerId" uuid                 NOT NULL,
    "modality"   "Modality"           NOT NULL,
    "status"     "ImagingOrderStatus" NOT NULL DEFAULT 'ordered',
    "createdAt"  timestamp(3)         NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3)         NOT NULL,
    CONSTRAINT "ImagingOrder_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "ImagingOrder_patientId_status_idx" ON "ImagingOrder" ("patientId", "status");
CREATE INDEX "ImagingOrder_providerId_idx" ON "ImagingOrder" ("providerId");

CREATE TABLE "ImagingStudy" (
    "id"               uuid         NOT NULL DEFAULT gen_random_uuid(),
    "imagingOrderId"   uuid,
    "studyInstanceUid" text         NOT NULL,
    "pacsUrl"          text         NOT NULL,
    "createdAt"        timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"        timestamp(3) NOT NULL,
    CONSTRAINT "ImagingStudy_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ImagingStudy_imagingOrderId_fkey" FOREIGN KEY ("imagingOrderId") REFERENCES "ImagingOrder" ("id") ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE UNIQUE INDEX "ImagingStudy_studyInstanceUid_key" ON "ImagingStudy" ("studyInstanceUid");
CREATE INDEX "ImagingStudy_imagingOrderId_idx" ON "ImagingStudy" ("imagingOrderId");

CREATE TABLE "ImagingSeries" (
    "id"                uuid         NOT NULL DEFAULT gen_random_uuid(),
    "imagingStudyId"    uuid         NOT NULL,
    "seriesInstanceUid" text         NOT NULL,
    "createdAt"         timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"         timestamp(3) NOT NULL,
    CONSTRAINT "ImagingSeries_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ImagingSeries_imagingStudyId_fkey" FOREIGN KEY ("imagingStudyId") REFERENCES "ImagingStudy" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "ImagingSeries_seriesInstanceUid_key" ON "ImagingSeries" ("seriesInstanceUid");
CREATE INDEX "ImagingSeries_imagingStudyId_idx" ON "ImagingSeries" ("imagingStudyId");

CREATE TABLE "ImagingReport" (
    "id"             uuid         NOT NULL DEFAULT gen_random_uuid(),
    "imagingStudyId" uuid         NOT NULL,
    "providerId"     uuid         NOT NULL,
    "body"           text         NOT NULL,
    "signedAt"       timestamp(3),
    "createdAt"      timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"      timestamp(3) NOT NULL,
    CONSTRAINT "ImagingReport_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ImagingReport_imagingStudyId_fkey" FOREIGN KEY ("imagingStudyId") REFERENCES "ImagingStudy" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "ImagingReport_imagingStudyId_idx" ON "ImagingReport" ("imagingStudyId");
CREATE INDEX "ImagingReport_providerId_idx" ON "ImagingReport" ("providerId");
