-- Sluice must say: MigrationFailed, 2D000
-- COMMIT in a loop works only where no transaction is open around it. The directive no-transaction is missing.
ALTER TABLE care_reports ADD COLUMN reviewed boolean;
DO $$ BEGIN
    UPDATE care_reports SET reviewed = false WHERE reviewed IS NULL;
    COMMIT;
END $$;
