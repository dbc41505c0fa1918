-- Sluice must say: MigrationFailed, 23502
-- Required, without a default, on a table with residents in it. On an empty table it would have worked.
ALTER TABLE residents ADD COLUMN emergency_phone varchar(30) NOT NULL;
