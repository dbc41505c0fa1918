-- Sluice must say: VerificationFailed, foreign-key-indexed on public.referrals
CREATE TABLE "referrals" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "patientId" uuid         NOT NULL,
    "to"        varchar(255) NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "referrals_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "referrals_patientId_fkey" FOREIGN KEY ("patientId") REFERENCES "patients" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
