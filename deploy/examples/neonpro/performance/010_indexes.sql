-- A phase of its own, because Prisma sends a file as one message and cannot build an index CONCURRENTLY beside others. The four indexes the application's queries need, built while it keeps writing.
--
-- CREATE INDEX CONCURRENTLY cannot run inside a transaction, and not beside another statement in one message
-- either. Sluice finds these statements by parsing the file, runs each on its own and remembers how far it came.
-- If a build is interrupted, PostgreSQL leaves an invalid index behind: the next attempt drops it and builds it
-- again. So there is no IF NOT EXISTS here, which would take the broken index for a finished one.

CREATE INDEX CONCURRENTLY idx_appointments_clinic_start
    ON clinical.appointments (clinic_id, starts_at);

CREATE UNIQUE INDEX CONCURRENTLY idx_patients_clinic_cpf
    ON clinical.patients (clinic_id, cpf_hash);

CREATE INDEX CONCURRENTLY idx_medical_records_clinic_patient_recent
    ON clinical.medical_records (clinic_id, patient_id, created_at DESC)
    WHERE deleted_at IS NULL;

CREATE INDEX CONCURRENTLY idx_lgpd_consents_clinic_active
    ON compliance.lgpd_consents (clinic_id, patient_id, purpose)
    WHERE revoked_at IS NULL;
