-- Sluice must say: VerificationFailed, index-required on compliance.lgpd_consents
-- The same columns, but also the consents that were taken back: no longer the index that the queries need.
DROP INDEX compliance.idx_lgpd_consents_clinic_active;
CREATE INDEX idx_lgpd_consents_clinic_active ON compliance.lgpd_consents (clinic_id, patient_id, purpose);
