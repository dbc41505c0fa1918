-- Sluice must say: SourceInvalid, who sorts them
-- Eight digits beside fourteen: who sorts by bytes runs it last of the day, Prisma first.
ALTER TABLE "User" ADD COLUMN "timeZone" text;
