-- Standard questionnaires and sessions. A score is kept with the answers it was made from.

-- Tables of this and every later migration are for the application to read and write; the history is not.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthcare_mental_health_app;

CREATE TYPE "AssessmentType" AS ENUM ('phq_9', 'gad_7');
CREATE TYPE "SessionStatus" AS ENUM ('scheduled', 'in_progress', 'completed', 'no_show');

CREATE TABLE "Assessment" (
    "id"         uuid             NOT NULL DEFAULT gen_random_uuid(),
    "patientId"  uuid             NOT NULL,
    "providerId" uuid             NOT NULL,
    "type"       "AssessmentType" NOT NULL,
    "score"      smallint         NOT NULL,
    "takenAt"    timestamp(3)     NOT NULL,
    "createdAt"  timestamp(3)     NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"  timestamp(3)     NOT NULL,
    CONSTRAINT "Assessment_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "Assessment_patientId_takenAt_idx" ON "Assessment" ("patientId", "takenAt");
CREATE INDEX "Assessment_providerId_idx" ON "Assessment" ("providerId");

CREATE TABLE "AssessmentAnswer" (
    "id"           uuid         NOT NULL DEFAULT gen_random_uuid(),
    "assessmentId" uuid         NOT NULL,
    "question"     smallint     NOT NULL,
    "answer"       smallint     NOT NULL,
    "createdAt"    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"    timestamp(3) NOT NULL,
    CONSTRAINT "AssessmentAnswer_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "AssessmentAnswer_assessmentId_fkey" FOREIGN KEY ("assessmentId") REFERENCES "Assessment" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "AssessmentAnswer_assessmentId_question_key" ON "AssessmentAnswer" ("assessmentId", "question");

CREATE TABLE "TherapySession" (
    "id"          uuid            NOT NULL DEFAULT gen_random_uuid(),
    "patientId"   uuid            NOT NULL,
    "providerId"  uuid            NOT NULL,
    "status"      "SessionStatus" NOT NULL DEFAULT 'scheduled',
    "scheduledAt" timestamp(3)    NOT NULL,
    "createdAt"   timestamp(3)    NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3)    NOT NULL,
    CONSTRAINT "TherapySession_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "TherapySession_patientId_scheduledAt_idx" ON "TherapySession" ("patientId", "scheduledAt");
CREATE INDEX "TherapySession_providerId_status_idx" ON "TherapySession" ("providerId", "status");

CREATE TABLE "SessionNote" (
    "id"               uuid         NOT NULL DEFAULT gen_random_uuid(),
    "therapySessionId" uuid         NOT NULL,
    "body"             text         NOT NULL,
    "createdAt"        timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"        timestamp(3) NOT NULL,
    CONSTRAINT "SessionNote_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "SessionNote_therapySessionId_fkey" FOREIGN KEY ("therapySessionId") REFERENCES "TherapySession" ("id") ON UPDATE CASCADE ON DELETE RESTRICT
);
CREATE INDEX "SessionNote_therapySessionId_idx" ON "SessionNote" ("therapySessionId");
