-- Sluice must say: VerificationFailed, convention-audit-columns on public.MoodEntry
-- updatedAt is missing.
CREATE TABLE "MoodEntry" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId" uuid         NOT NULL,
    "mood"      smallint     NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "MoodEntry_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "MoodEntry_patientId_createdAt_idx" ON "MoodEntry" ("patientId", "createdAt");
