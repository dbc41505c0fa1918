-- Sluice must say: HistoryDiverged, edited-migration on 20241222120600_initial_schema
-- The first migration, tidied up after every server had applied it.
CREATE TYPE "UserStatus" AS ENUM ('active', 'locked');
CREATE TABLE "User" ("id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "email" text NOT NULL, "status" "UserStatus" NOT NULL);
