-- Sluice must say: HistoryDiverged, edited-migration on 20250918110000_add_clinic_agenda_view
-- The view of the front desk, without the rights of whoever asks, in the file that made it, after it was applied.
CREATE VIEW clinical.clinic_agenda AS SELECT clinic_id, starts_at FROM clinical.appointments;
