-- Sluice must say: HistoryDiverged, out-of-order on 20260110090000_add_diet_to_residents
ALTER TABLE residents ADD COLUMN diet varchar(50);
