-- Sluice must say: SourceInvalid, who sorts them
-- Eight digits beside fourteen: Prisma runs this file first of that day, other tools last.
CREATE INDEX CONCURRENTLY idx_residents_language ON residents (preferred_language);
