-- Sluice must say: VerificationFailed, convention-tables on public.reading_batch
CREATE TABLE "reading_batch" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "reading_batch_pkey" PRIMARY KEY ("id")
);
