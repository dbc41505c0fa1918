-- Sluice must say: HistoryDiverged, out-of-order on 20240218090000_add_patient_middle_name
ALTER TABLE "patients" ADD COLUMN "middleName" varchar(255);
