-- Sluice must say: MigrationFailed, 23503
-- Deleting residents would take their medication along, if the key were a CASCADE. It is not.
DELETE FROM residents WHERE date_of_birth < '1950-01-01';
