-- Sluice must say: HistoryDiverged, out-of-order on 20241216090000_add_user_locale
-- Its name is older than the very first migration.
ALTER TABLE "User" ADD COLUMN "locale" text;
