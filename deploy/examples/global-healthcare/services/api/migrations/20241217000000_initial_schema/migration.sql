-- The core: whoever else speaks of a patient, a provider or an encounter means a row of this database.
-- What belongs to a row goes with it (CASCADE), what merely mentions it stays (SET NULL), and what was signed or billed
-- keeps it from going at all (RESTRICT).

-- Tables of this and every later migration are for the application to read and write; the history is not.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthcare_api_app;

CREATE TYPE "UserRole" AS ENUM ('patient', 'provider', 'staff', 'admin');
CREATE TYPE "SubscriptionStatus" AS ENUM ('active', 'past_due', 'cancelled');
CREATE TYPE "AppointmentStatus" AS ENUM ('scheduled', 'checked_in', 'in_progress', 'completed', 'cancelled');
CREATE TYPE "EncounterStatus" AS ENUM ('planned', 'in_progress', 'finished');
CREATE TYPE "InvoiceStatus" AS ENUM ('draft', 'issued', 'paid', 'void');

CREATE TABLE "Plan" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "name"       text         NOT NULL,
    "priceCents" integer      NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "Plan_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Plan_name_key" ON "Plan" ("name");

CREATE TABLE "User" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "email"     text         NOT NULL,
    "firstName" text         NOT NULL,
    "lastName"  text         NOT NULL,
    "phone"     text,
    "role"      "UserRole"   NOT NULL DEFAULT 'patient',
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "User_email_key" ON "User" ("email");

CREATE TABLE "Subscription" (
    "id"        uuid                 NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid                 NOT NULL,
    "planId"    uuid                 NOT NULL,
    "status"    "SubscriptionStatus" NOT NULL DEFAULT 'active',
    "createdAt" timestamp(3)         NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3)         NOT NULL,
    CONSTRAINT "Subscription_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Subscription_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT "Subscription_planId_fkey" FOREIGN KEY ("planId") REFERENCES "Plan" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Subscription_userId_idx" ON "Subscription" ("userId");
CREATE INDEX "Subscription_planId_idx" ON "Subscription" ("planId");

CREATE TABLE "Notification" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid         NOT NULL,
    "title"     text         NOT NULL,
    "readAt"    timestamp(3),
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "Notification_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Notification_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "Notification_userId_createdAt_idx" ON "Notification" ("userId", "createdAt");

CREATE TABLE "DeviceToken" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid         NOT NULL,
    "token"     text         NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "DeviceToken_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "DeviceToken_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "DeviceToken_token_key" ON "DeviceToken" ("token");
CREATE INDEX "DeviceToken_userId_idx" ON "DeviceToken" ("userId");

CREATE TABLE "ApiKey" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid         NOT NULL,
    "keyHash"   text         NOT NULL,
    "revokedAt" timestamp(3),
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "ApiKey_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ApiKey_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "ApiKey_keyHash_key" ON "ApiKey" ("keyHash");
CREATE INDEX "ApiKey_userId_idx" ON "ApiKey" ("userId");

CREATE TABLE "Webhook" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid         NOT NULL,
    "url"       text         NOT NULL,
    "isActive"  boolean      NOT NULL DEFAULT true,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "Webhook_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Webhook_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "Webhook_userId_idx" ON "Webhook" ("userId");

CREATE TABLE "AuditEvent" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"     uuid,
    "action"     text         NOT NULL,
    "objectType" text         NOT NULL,
    "objectId"   uuid,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "AuditEvent_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "AuditEvent_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE INDEX "AuditEvent_userId_createdAt_idx" ON "AuditEvent" ("userId", "createdAt");

CREATE TABLE "Message" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "senderId"    uuid         NOT NULL,
    "recipientId" uuid         NOT NULL,
    "body"        text         NOT NULL,
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "Message_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Message_senderId_fkey" FOREIGN KEY ("senderId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "Message_recipientId_fkey" FOREIGN KEY ("recipientId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Message_senderId_idx" ON "Message" ("senderId");
CREATE INDEX "Message_recipientId_createdAt_idx" ON "Message" ("recipientId", "createdAt");

CREATE TABLE "Facility" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "name"      text         NOT NULL,
    "city"      text         NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "Facility_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "Department" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "facilityId" uuid         NOT NULL,
    "name"       text         NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "Department_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Department_facilityId_fkey" FOREIGN KEY ("facilityId") REFERENCES "Facility" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "Department_facilityId_idx" ON "Department" ("facilityId");

CREATE TABLE "Provider" (
    "id"            uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"        uuid         NOT NULL,
    "departmentId"  uuid,
    "licenseNumber" text         NOT NULL,
    "specialty"     text         NOT NULL,
    "createdAt"     timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"     timestamp(3) NOT NULL,
    CONSTRAINT "Provider_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Provider_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "Provider_departmentId_fkey" FOREIGN KEY ("departmentId") REFERENCES "Department" ("id") ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE UNIQUE INDEX "Provider_licenseNumber_key" ON "Provider" ("licenseNumber");
CREATE INDEX "Provider_userId_idx" ON "Provider" ("userId");
CREATE INDEX "Provider_departmentId_idx" ON "Provider" ("departmentId");

CREATE TABLE "Patient" (
    "id"                  uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"              uuid         NOT NULL,
    "medicalRecordNumber" text         NOT NULL,
    "email"               text,
    "dateOfBirth"         date         NOT NULL,
    "createdAt"           timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"           timestamp(3) NOT NULL,
    CONSTRAINT "Patient_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Patient_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE UNIQUE INDEX "Patient_medicalRecordNumber_key" ON "Patient" ("medicalRecordNumber");
CREATE INDEX "Patient_userId_idx" ON "Patient" ("userId");

CREATE TABLE "EmergencyContact" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId" uuid         NOT NULL,
    "name"      text         NOT NULL,
    "phone"     text         NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "EmergencyContact_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "EmergencyContact_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "EmergencyContact_patientId_idx" ON "EmergencyContact" ("patientId");

CREATE TABLE "CareTeamMember" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"  uuid         NOT NULL,
    "providerId" uuid         NOT NULL,
    "role"       text         NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "CareTeamMember_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "CareTeamMember_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT "CareTeamMember_providerId_fkey" FOREIGN KEY ("providerId") REFERENCES "Provider" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE UNIQUE INDEX "CareTeamMember_patientId_providerId_key" ON "CareTeamMember" ("patientId", "providerId");
CREATE INDEX "CareTeamMember_providerId_idx" ON "CareTeamMember" ("providerId");

CREATE TABLE "Allergy" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId" uuid         NOT NULL,
    "substance" text         NOT NULL,
    "reaction"  text,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "Allergy_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Allergy_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Allergy_patientId_idx" ON "Allergy" ("patientId");

CREATE TABLE "Condition" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId" uuid         NOT NULL,
    "code"      text         NOT NULL,
    "onsetDate" date,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "Condition_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Condition_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Condition_patientId_idx" ON "Condition" ("patientId");

CREATE TABLE "Immunization" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId" uuid         NOT NULL,
    "vaccine"   text         NOT NULL,
    "givenOn"   date         NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "Immunization_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Immunization_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Immunization_patientId_idx" ON "Immunization" ("patientId");

CREATE TABLE "MedicationStatement" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"  uuid         NOT NULL,
    "medication" text         NOT NULL,
    "dosage"     text         NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "MedicationStatement_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "MedicationStatement_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "MedicationStatement_patientId_idx" ON "MedicationStatement" ("patientId");

CREATE TABLE "Consent" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId" uuid         NOT NULL,
    "purpose"   text         NOT NULL,
    "revokedAt" timestamp(3),
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "Consent_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Consent_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Consent_patientId_purpose_idx" ON "Consent" ("patientId", "purpose");

CREATE TABLE "Document" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"  uuid         NOT NULL,
    "title"      text         NOT NULL,
    "storageKey" text         NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "Document_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Document_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Document_patientId_idx" ON "Document" ("patientId");

CREATE TABLE "Appointment" (
    "id"          uuid                NOT NULL DEFAULT gen_random_uuid(),
    "patientId"   uuid                NOT NULL,
    "providerId"  uuid                NOT NULL,
    "scheduledAt" timestamp(3)        NOT NULL,
    "status"      "AppointmentStatus" NOT NULL DEFAULT 'scheduled',
    "reason"      text,
    "createdAt"   timestamp(3)        NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3)        NOT NULL,
    CONSTRAINT "Appointment_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Appointment_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "Appointment_providerId_fkey" FOREIGN KEY ("providerId") REFERENCES "Provider" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Appointment_patientId_scheduledAt_idx" ON "Appointment" ("patientId", "scheduledAt");
CREATE INDEX "Appointment_providerId_status_idx" ON "Appointment" ("providerId", "status");

CREATE TABLE "Encounter" (
    "id"            uuid              NOT NULL DEFAULT gen_random_uuid(),
    "patientId"     uuid              NOT NULL,
    "providerId"    uuid              NOT NULL,
    "appointmentId" uuid,
    "status"        "EncounterStatus" NOT NULL DEFAULT 'planned',
    "startedAt"     timestamp(3),
    "createdAt"     timestamp(3)      NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"     timestamp(3)      NOT NULL,
    CONSTRAINT "Encounter_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Encounter_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "Encounter_providerId_fkey" FOREIGN KEY ("providerId") REFERENCES "Provider" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "Encounter_appointmentId_fkey" FOREIGN KEY ("appointmentId") REFERENCES "Appointment" ("id") ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE INDEX "Encounter_patientId_startedAt_idx" ON "Encounter" ("patientId", "startedAt");
CREATE INDEX "Encounter_providerId_status_idx" ON "Encounter" ("providerId", "status");
CREATE INDEX "Encounter_appointmentId_idx" ON "Encounter" ("appointmentId");

CREATE TABLE "Diagnosis" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "encounterId" uuid         NOT NULL,
    "code"        text         NOT NULL,
    "description" text         NOT NULL,
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "Diagnosis_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Diagnosis_encounterId_fkey" FOREIGN KEY ("encounterId") REFERENCES "Encounter" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "Diagnosis_encounterId_idx" ON "Diagnosis" ("encounterId");

CREATE TABLE "Procedure" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "encounterId" uuid         NOT NULL,
    "code"        text         NOT NULL,
    "performedAt" timestamp(3) NOT NULL,
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "Procedure_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Procedure_encounterId_fkey" FOREIGN KEY ("encounterId") REFERENCES "Encounter" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "Procedure_encounterId_idx" ON "Procedure" ("encounterId");

CREATE TABLE "Observation" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "encounterId" uuid         NOT NULL,
    "code"        text         NOT NULL,
    "value"       numeric      NOT NULL,
    "unit"        text         NOT NULL,
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "Observation_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Observation_encounterId_fkey" FOREIGN KEY ("encounterId") REFERENCES "Encounter" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "Observation_encounterId_idx" ON "Observation" ("encounterId");

CREATE TABLE "ClinicalNote" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "encounterId" uuid         NOT NULL,
    "providerId"  uuid         NOT NULL,
    "body"        text         NOT NULL,
    "signedAt"    timestamp(3),
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "ClinicalNote_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ClinicalNote_encounterId_fkey" FOREIGN KEY ("encounterId") REFERENCES "Encounter" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "ClinicalNote_providerId_fkey" FOREIGN KEY ("providerId") REFERENCES "Provider" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "ClinicalNote_encounterId_idx" ON "ClinicalNote" ("encounterId");
CREATE INDEX "ClinicalNote_providerId_idx" ON "ClinicalNote" ("providerId");

CREATE TABLE "CarePlan" (
    "id"         uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"  uuid         NOT NULL,
    "providerId" uuid         NOT NULL,
    "title"      text         NOT NULL,
    "createdAt"  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3) NOT NULL,
    CONSTRAINT "CarePlan_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "CarePlan_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "CarePlan_providerId_fkey" FOREIGN KEY ("providerId") REFERENCES "Provider" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "CarePlan_patientId_idx" ON "CarePlan" ("patientId");
CREATE INDEX "CarePlan_providerId_idx" ON "CarePlan" ("providerId");

CREATE TABLE "CarePlanGoal" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "carePlanId"  uuid         NOT NULL,
    "description" text         NOT NULL,
    "reachedAt"   timestamp(3),
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "CarePlanGoal_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "CarePlanGoal_carePlanId_fkey" FOREIGN KEY ("carePlanId") REFERENCES "CarePlan" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "CarePlanGoal_carePlanId_idx" ON "CarePlanGoal" ("carePlanId");

CREATE TABLE "InsurancePolicy" (
    "id"           uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId"    uuid         NOT NULL,
    "payer"        text         NOT NULL,
    "policyNumber" text         NOT NULL,
    "createdAt"    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"    timestamp(3) NOT NULL,
    CONSTRAINT "InsurancePolicy_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "InsurancePolicy_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE UNIQUE INDEX "InsurancePolicy_payer_policyNumber_key" ON "InsurancePolicy" ("payer", "policyNumber");
CREATE INDEX "InsurancePolicy_patientId_idx" ON "InsurancePolicy" ("patientId");

CREATE TABLE "Claim" (
    "id"                uuid         NOT NULL DEFAULT gen_random_uuid(),
    "encounterId"       uuid         NOT NULL,
    "insurancePolicyId" uuid         NOT NULL,
    "amountCents"       integer      NOT NULL,
    "createdAt"         timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"         timestamp(3) NOT NULL,
    CONSTRAINT "Claim_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Claim_encounterId_fkey" FOREIGN KEY ("encounterId") REFERENCES "Encounter" ("id") ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT "Claim_insurancePolicyId_fkey" FOREIGN KEY ("insurancePolicyId") REFERENCES "InsurancePolicy" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Claim_encounterId_idx" ON "Claim" ("encounterId");
CREATE INDEX "Claim_insurancePolicyId_idx" ON "Claim" ("insurancePolicyId");

CREATE TABLE "Invoice" (
    "id"          uuid            NOT NULL DEFAULT gen_random_uuid(),
    "patientId"   uuid            NOT NULL,
    "number"      text            NOT NULL,
    "status"      "InvoiceStatus" NOT NULL DEFAULT 'draft',
    "amountCents" integer         NOT NULL,
    "createdAt"   timestamp(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3)    NOT NULL,
    CONSTRAINT "Invoice_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Invoice_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "Patient" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE UNIQUE INDEX "Invoice_number_key" ON "Invoice" ("number");
CREATE INDEX "Invoice_patientId_status_idx" ON "Invoice" ("patientId", "status");

CREATE TABLE "Payment" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "invoiceId"   uuid         NOT NULL,
    "amountCents" integer      NOT NULL,
    "paidAt"      timestamp(3) NOT NULL,
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "Payment_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Payment_invoiceId_fkey" FOREIGN KEY ("invoiceId") REFERENCES "Invoice" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "Payment_invoiceId_idx" ON "Payment" ("invoiceId");
