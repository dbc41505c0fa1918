-- Sluice must say: HistoryDiverged, out-of-order on 20260115_add_language_index
-- Eight digits beside fourteen: Prisma sorts this file before every other one of that day, so it is late.
CREATE INDEX CONCURRENTLY idx_residents_language ON residents (preferred_language);
