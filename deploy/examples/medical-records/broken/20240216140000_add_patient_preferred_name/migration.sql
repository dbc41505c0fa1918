-- Sluice must say: HistoryDiverged, edited-migration on 20240216140000_add_patient_preferred_name
-- Never edit what is deployed: this column would exist on new databases only.
ALTER TABLE "patients" ADD COLUMN "preferredName" varchar(100);
CREATE INDEX "patients_preferredName_idx" ON "patients" ("preferredName");
