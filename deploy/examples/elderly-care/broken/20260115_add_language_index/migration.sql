-- Sluice must say: SourceInvalid, depends on who sorts
-- Eight digits beside fourteen: Prisma runs this file first of that day, other tools last.
CREATE INDEX CONCURRENTLY idx_residents_language ON residents (preferred_language);
