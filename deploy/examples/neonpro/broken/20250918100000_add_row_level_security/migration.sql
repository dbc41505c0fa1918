-- Sluice must say: HistoryDiverged, edited-migration on 20250918100000_add_row_level_security
-- The policies of one table, switched off in the file that made them, after it was applied.
ALTER TABLE core.clinics ENABLE ROW LEVEL SECURITY;
