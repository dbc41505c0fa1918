-- Sluice must say: VerificationFailed, foreign-key-indexed on public.VisitNote
CREATE TABLE "VisitNote" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "visitId"   uuid         NOT NULL,
    "body"      text         NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "VisitNote_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "VisitNote_visitId_fkey" FOREIGN KEY ("visitId") REFERENCES "Visit" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
