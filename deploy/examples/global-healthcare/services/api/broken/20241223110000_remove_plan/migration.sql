-- Sluice must say: MigrationFailed, 23001|23503
-- A plan that somebody subscribes to: RESTRICT says no.
DELETE FROM "Plan" WHERE "name" = 'basic';
