-- Sluice must say: HistoryDiverged, edited-migration on 20240115120000_add_mfa
-- Applied long ago and edited since. Prisma would say that everything is up to date.
ALTER TABLE users ADD COLUMN mfa_enabled boolean NOT NULL DEFAULT true;
ALTER TABLE users ADD COLUMN mfa_secret varchar(255);
