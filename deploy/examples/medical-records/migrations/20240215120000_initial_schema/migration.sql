-- The record system on its first day: who treats, who is treated, when they meet, and what is written down.
-- Tables are snake_case and plural, columns camelCase, because that is how the Prisma models spell them.

CREATE TYPE "Sex" AS ENUM ('male', 'female', 'other');
CREATE TYPE "AllergySeverity" AS ENUM ('mild', 'moderate', 'severe', 'life_threatening');
CREATE TYPE "AppointmentType" AS ENUM ('new_patient', 'follow_up', 'routine_checkup', 'sick_visit', 'telehealth');
CREATE TYPE "AppointmentStatus" AS ENUM ('scheduled', 'checked_in', 'in_progress', 'completed', 'cancelled', 'no_show');

CREATE TABLE "providers" (
    "id"            uuid         NOT NULL DEFAULT gen_random_uuid(),
    "email"         varchar(255) NOT NULL,
    "passwordHash"  varchar(255) NOT NULL,
    "firstName"     varchar(255) NOT NULL,
    "lastName"      varchar(255) NOT NULL,
    "phone"         varchar(255),
    "specialty"     varchar(255),
    "licenseNumber" varchar(255),
    "createdAt"     timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"     timestamp(3) NOT NULL,
    CONSTRAINT "providers_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "providers_email_key" ON "providers" ("email");

CREATE TABLE "patients" (
    "id"                           uuid         NOT NULL DEFAULT gen_random_uuid(),
    "firstName"                    varchar(255) NOT NULL,
    "lastName"                     varchar(255) NOT NULL,
    "dateOfBirth"                  date         NOT NULL,
    "sex"                          "Sex"        NOT NULL,
    "phone"                        varchar(255) NOT NULL,
    "email"                        varchar(255),
    "address"                      varchar(255),
    "emergencyContactName"         varchar(255) NOT NULL,
    "emergencyContactPhone"        varchar(255) NOT NULL,
    "emergencyContactRelationship" varchar(255),
    "createdAt"                    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"                    timestamp(3) NOT NULL,
    CONSTRAINT "patients_pkey" PRIMARY KEY ("id")
);
-- The three ways a receptionist looks somebody up.
CREATE INDEX "patients_lastName_firstName_idx" ON "patients" ("lastName", "firstName");
CREATE INDEX "patients_phone_idx" ON "patients" ("phone");
CREATE INDEX "patients_email_idx" ON "patients" ("email");

CREATE TABLE "allergies" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId" uuid         NOT NULL,
    "allergen"  varchar(255) NOT NULL,
    "reaction"  varchar(255),
    "severity"  "AllergySeverity",
    "onsetDate" date,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "allergies_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "allergies_patientId_fkey" FOREIGN KEY ("patientId")
        REFERENCES "patients" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "allergies_patientId_idx" ON "allergies" ("patientId");

CREATE TABLE "chronic_conditions" (
    "id"            uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"     uuid         NOT NULL,
    "conditionName" varchar(255) NOT NULL,
    "diagnosisDate" date,
    "status"        varchar(255) DEFAULT 'active',
    "notes"         text,
    "createdAt"     timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "chronic_conditions_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "chronic_conditions_patientId_fkey" FOREIGN KEY ("patientId")
        REFERENCES "patients" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "chronic_conditions_patientId_idx" ON "chronic_conditions" ("patientId");

-- A provider who has appointments cannot be deleted: somebody signed for them. A patient takes theirs along.
CREATE TABLE "appointments" (
    "id"              uuid                NOT NULL DEFAULT gen_random_uuid(),
    "patientId"       uuid                NOT NULL,
    "providerId"      uuid                NOT NULL,
    "appointmentDate" timestamp(3)        NOT NULL,
    "appointmentType" "AppointmentType"   NOT NULL,
    "status"          "AppointmentStatus" NOT NULL DEFAULT 'scheduled',
    "durationMinutes" integer             DEFAULT 30,
    "reasonForVisit"  varchar(255),
    "createdAt"       timestamp(3)        NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"       timestamp(3)        NOT NULL,
    CONSTRAINT "appointments_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "appointments_patientId_fkey" FOREIGN KEY ("patientId")
        REFERENCES "patients" ("id") ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT "appointments_providerId_fkey" FOREIGN KEY ("providerId")
        REFERENCES "providers" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "appointments_patientId_idx" ON "appointments" ("patientId");
CREATE INDEX "appointments_providerId_idx" ON "appointments" ("providerId");
CREATE INDEX "appointments_appointmentDate_idx" ON "appointments" ("appointmentDate");
CREATE INDEX "appointments_status_idx" ON "appointments" ("status");

-- One set of measurements per appointment: the unique index is the rule and the index of the foreign key in one.
CREATE TABLE "vital_signs" (
    "id"                     uuid         NOT NULL DEFAULT gen_random_uuid(),
    "appointmentId"          uuid         NOT NULL,
    "bloodPressureSystolic"  integer,
    "bloodPressureDiastolic" integer,
    "heartRate"              integer,
    "respiratoryRate"        integer,
    "oxygenSaturation"       integer,
    "temperature"            numeric(4, 1),
    "weight"                 numeric(5, 2),
    "height"                 numeric(5, 2),
    "bmi"                    numeric(4, 1),
    "painLevel"              smallint,
    "recordedAt"             timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "vital_signs_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "vital_signs_appointmentId_fkey" FOREIGN KEY ("appointmentId")
        REFERENCES "appointments" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "vital_signs_appointmentId_key" ON "vital_signs" ("appointmentId");

-- A record starts as a draft, may be dictated or proposed by software, and belongs to exactly one appointment.
CREATE TABLE "medical_records" (
    "id"                      uuid         NOT NULL DEFAULT gen_random_uuid(),
    "appointmentId"           uuid         NOT NULL,
    "isDraft"                 boolean      NOT NULL DEFAULT true,
    "isAIGenerated"           boolean      NOT NULL DEFAULT false,
    "chiefComplaint"          varchar(255),
    "historyOfPresentIllness" text,
    "physicalExamNotes"       text,
    "diagnosis"               varchar(255),
    "diagnosisNotes"          text,
    "treatmentPlan"           text,
    "followUpInstructions"    text,
    "patientEducation"        text,
    "audioFileUrl"            varchar(255),
    "transcript"              text,
    "createdAt"               timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"               timestamp(3) NOT NULL,
    CONSTRAINT "medical_records_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "medical_records_appointmentId_fkey" FOREIGN KEY ("appointmentId")
        REFERENCES "appointments" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "medical_records_appointmentId_key" ON "medical_records" ("appointmentId");

CREATE TABLE "symptoms" (
    "id"              uuid         NOT NULL DEFAULT gen_random_uuid(),
    "medicalRecordId" uuid         NOT NULL,
    "symptomName"     varchar(255) NOT NULL,
    "bodySite"        varchar(255),
    "severity"        smallint,
    "duration"        varchar(255),
    "notes"           text,
    "isAIExtracted"   boolean      NOT NULL DEFAULT false,
    "createdAt"       timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "symptoms_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "symptoms_medicalRecordId_fkey" FOREIGN KEY ("medicalRecordId")
        REFERENCES "medical_records" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "symptoms_medicalRecordId_idx" ON "symptoms" ("medicalRecordId");

CREATE TABLE "prescriptions" (
    "id"              uuid         NOT NULL DEFAULT gen_random_uuid(),
    "medicalRecordId" uuid         NOT NULL,
    "medicationName"  varchar(255) NOT NULL,
    "strength"        varchar(255) NOT NULL,
    "dosage"          varchar(255) NOT NULL,
    "frequency"       varchar(255) NOT NULL,
    "duration"        varchar(255),
    "quantity"        integer,
    "refills"         integer      DEFAULT 0,
    "instructions"    text         NOT NULL,
    "indication"      varchar(255),
    "isAIExtracted"   boolean      NOT NULL DEFAULT false,
    "createdAt"       timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "prescriptions_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "prescriptions_medicalRecordId_fkey" FOREIGN KEY ("medicalRecordId")
        REFERENCES "medical_records" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "prescriptions_medicalRecordId_idx" ON "prescriptions" ("medicalRecordId");
