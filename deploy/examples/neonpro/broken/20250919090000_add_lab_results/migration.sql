-- Sluice must say: VerificationFailed, rls-enabled on clinical.lab_results
--
-- This migration is wrong on purpose, in the way that is easiest to overlook: everything in it is fine, and what is
-- missing is not in it. The table has a clinic in every row and no row-level security, so the application would show
-- each clinic the results of all the others. No statement fails and no test of a single clinic notices.
--
-- Sluice looks before COMMIT: the condition Verified turns False and names clinical.lab_results, the table is not there,
-- and the new version of the application stays held while the old Pods serve. To mend it, give the table what
-- security/010_row_level_security.sql gives the others: ENABLE, FORCE and the four policies.

CREATE TABLE clinical.lab_results (
    clinic_id  uuid        NOT NULL REFERENCES core.clinics (id),
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    patient_id uuid        NOT NULL,
    result     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, patient_id) REFERENCES clinical.patients (clinic_id, id)
);
CREATE INDEX idx_lab_results_clinic_patient ON clinical.lab_results (clinic_id, patient_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON clinical.lab_results TO neonpro_app;
