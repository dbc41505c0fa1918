-- Sluice must say: SourceInvalid, depends on who sorts
-- Eight digits beside fourteen: who sorts by bytes runs it last of the day, Prisma first.
ALTER TABLE "User" ADD COLUMN "timeZone" text;
