-- Sluice must say: VerificationFailed, table-count on public
-- A tenth table, which the manifest does not know of.
CREATE TABLE "audit_entries" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "audit_entries_pkey" PRIMARY KEY ("id")
);
