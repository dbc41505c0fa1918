-- Sluice must say: MigrationFailed, P0001
-- A tidy-up of the past. The ledger is kept for ten years as it was written.
UPDATE audit_log_ledger SET user_role = 'caregiver' WHERE user_role = 'nurse';
