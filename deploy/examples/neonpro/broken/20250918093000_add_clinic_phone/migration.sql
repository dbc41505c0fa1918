-- Sluice must say: HistoryDiverged, out-of-order on 20250918093000_add_clinic_phone
ALTER TABLE core.clinics ADD COLUMN phone text;
