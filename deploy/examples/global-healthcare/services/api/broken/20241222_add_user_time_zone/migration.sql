-- Sluice must say: HistoryDiverged, out-of-order on 20241222_add_user_time_zone
-- Eight digits beside fourteen: Prisma sorts this file before every other one of that day, so it is late.
ALTER TABLE "User" ADD COLUMN "timeZone" text;
