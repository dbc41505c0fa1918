-- Sluice must say: HistoryDiverged, out-of-order on 20240201090000_add_nickname_to_patients
-- Written on a branch that was merged late: its name is older than what is applied.
ALTER TABLE patients ADD COLUMN nickname varchar(100);
