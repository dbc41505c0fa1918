-- Sluice must say: VerificationFailed, foreign-key-indexed on public.Session
CREATE TABLE "Session" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid         NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "Session_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Session_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
