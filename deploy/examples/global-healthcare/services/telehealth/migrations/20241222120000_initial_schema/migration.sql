-- Visits by video. Patients and providers live in the API's database: there is no foreign key across databases, so their
-- ids are indexed and the services answer for them.

-- Tables of this and every later migration are for the application to read and write; the history is not.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthcare_telehealth_app;

CREATE TYPE "AppointmentType" AS ENUM ('video', 'audio', 'chat');
CREATE TYPE "AppointmentStatus" AS ENUM ('scheduled', 'in_progress', 'completed', 'cancelled', 'no_show');
CREATE TYPE "VisitStatus" AS ENUM ('waiting', 'in_progress', 'ended');

CREATE TABLE "Appointment" (
    "id"          uuid                NOT NULL DEFAULT gen_random_uuid(),
    "patientId"   uuid                NOT NULL,
    "providerId"  uuid                NOT NULL,
    "type"        "AppointmentType"   NOT NULL DEFAULT 'video',
    "status"      "AppointmentStatus" NOT NULL DEFAULT 'scheduled',
    "scheduledAt" timestamp(3)        NOT NULL,
    "createdAt"   timestamp(3)        NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3)        NOT NULL,
    CONSTRAINT "Appointment_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "Appointment_patientId_scheduledAt_idx" ON "Appointment" ("patientId", "scheduledAt");
CREATE INDEX "Appointment_providerId_status_idx" ON "Appointment" ("providerId", "status");

CREATE TABLE "Visit" (
    "id"            uuid          NOT NULL DEFAULT gen_random_uuid(),
    "appointmentId" uuid          NOT NULL,
    "patientId"     uuid          NOT NULL,
    "providerId"    uuid          NOT NULL,
    "status"        "VisitStatus" NOT NULL DEFAULT 'waiting',
    "roomId"        text          NOT NULL,
    "iceServers"    jsonb         NOT NULL DEFAULT '[]',
    "startedAt"     timestamp(3),
    "createdAt"     timestamp(3)  NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"     timestamp(3)  NOT NULL,
    CONSTRAINT "Visit_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Visit_appointmentId_fkey" FOREIGN KEY ("appointmentId") REFERENCES "Appointment" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE UNIQUE INDEX "Visit_roomId_key" ON "Visit" ("roomId");
CREATE INDEX "Visit_appointmentId_idx" ON "Visit" ("appointmentId");
CREATE INDEX "Visit_patientId_idx" ON "Visit" ("patientId");
CREATE INDEX "Visit_providerId_status_idx" ON "Visit" ("providerId", "status");

CREATE TABLE "ChatMessage" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "visitId"   uuid         NOT NULL,
    "senderId"  uuid         NOT NULL,
    "body"      text         NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "ChatMessage_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ChatMessage_visitId_fkey" FOREIGN KEY ("visitId") REFERENCES "Visit" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "ChatMessage_visitId_createdAt_idx" ON "ChatMessage" ("visitId", "createdAt");

CREATE TABLE "ProviderAvailability" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "providerId" uuid         NOT NULL,
    "weekday"    smallint     NOT NULL,
    "startsAt"   time         NOT NULL,
    "endsAt"     time         NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "ProviderAvailability_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "ProviderAvailability_providerId_weekday_idx" ON "ProviderAvailability" ("providerId", "weekday");

CREATE TABLE "ProviderBreak" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "providerId" uuid         NOT NULL,
    "startsAt"   timestamp(3) NOT NULL,
    "endsAt"     timestamp(3) NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "ProviderBreak_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "ProviderBreak_providerId_startsAt_idx" ON "ProviderBreak" ("providerId", "startsAt");
