-- Structure: three schemas, nine tables. Every row of a tenant carries the clinic that owns it.
--
-- A foreign key between two tenant tables includes clinic_id. PostgreSQL checks foreign keys past row-level
-- security, so a key on the id alone would let one clinic point at another clinic's patient and learn that
-- the patient exists. With the clinic inside the key there is nothing to find.
--
-- Every foreign key has an index that begins with its columns. The tables are new and empty, so these indexes
-- cost nothing here. Policies, and the indexes for the application's queries, are phases of their own: ../../security and
-- ../../performance.

CREATE SCHEMA IF NOT EXISTS core;
CREATE SCHEMA IF NOT EXISTS clinical;
CREATE SCHEMA IF NOT EXISTS compliance;

-- The tenants themselves.
CREATE TABLE core.clinics (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text        NOT NULL,
    cnpj       text        NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE core.users (
    clinic_id  uuid        NOT NULL REFERENCES core.clinics (id),
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    email      text        NOT NULL,
    full_name  text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    UNIQUE (clinic_id, email)
);

-- Those who sign. The register is CFM's for physicians, and other councils' for the others.
CREATE TABLE core.professionals (
    clinic_id       uuid        NOT NULL REFERENCES core.clinics (id),
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    user_id         uuid        NOT NULL,
    council         text        NOT NULL,
    register_number text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    UNIQUE (clinic_id, user_id),
    FOREIGN KEY (clinic_id, user_id) REFERENCES core.users (clinic_id, id)
);

CREATE TABLE clinical.patients (
    clinic_id  uuid        NOT NULL REFERENCES core.clinics (id),
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    full_name  text        NOT NULL,
    birth_date date        NOT NULL,
    cpf_hash   bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id)
);

CREATE TABLE clinical.appointments (
    clinic_id       uuid        NOT NULL REFERENCES core.clinics (id),
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    patient_id      uuid        NOT NULL,
    professional_id uuid        NOT NULL,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    status          text        NOT NULL DEFAULT 'scheduled',
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, patient_id) REFERENCES clinical.patients (clinic_id, id),
    FOREIGN KEY (clinic_id, professional_id) REFERENCES core.professionals (clinic_id, id),
    CHECK (starts_at < ends_at)
);
CREATE INDEX idx_appointments_clinic_patient ON clinical.appointments (clinic_id, patient_id);
CREATE INDEX idx_appointments_clinic_professional ON clinical.appointments (clinic_id, professional_id);

-- Nothing is deleted from a medical record, only marked.
CREATE TABLE clinical.medical_records (
    clinic_id       uuid        NOT NULL REFERENCES core.clinics (id),
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    patient_id      uuid        NOT NULL,
    professional_id uuid        NOT NULL,
    note            text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, patient_id) REFERENCES clinical.patients (clinic_id, id),
    FOREIGN KEY (clinic_id, professional_id) REFERENCES core.professionals (clinic_id, id)
);
CREATE INDEX idx_medical_records_clinic_patient ON clinical.medical_records (clinic_id, patient_id);
CREATE INDEX idx_medical_records_clinic_professional ON clinical.medical_records (clinic_id, professional_id);

CREATE TABLE clinical.prescriptions (
    clinic_id         uuid        NOT NULL REFERENCES core.clinics (id),
    id                uuid        NOT NULL DEFAULT gen_random_uuid(),
    medical_record_id uuid        NOT NULL,
    medication        text        NOT NULL,
    dosage            text        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, medical_record_id) REFERENCES clinical.medical_records (clinic_id, id)
);
CREATE INDEX idx_prescriptions_clinic_record ON clinical.prescriptions (clinic_id, medical_record_id);

-- What a patient agreed to under LGPD, and when they took it back.
CREATE TABLE compliance.lgpd_consents (
    clinic_id  uuid        NOT NULL REFERENCES core.clinics (id),
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    patient_id uuid        NOT NULL,
    purpose    text        NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, patient_id) REFERENCES clinical.patients (clinic_id, id)
);
CREATE INDEX idx_lgpd_consents_clinic_patient ON compliance.lgpd_consents (clinic_id, patient_id);

-- Who looked at what. The application adds to it and reads it; it may not change it.
CREATE TABLE compliance.access_log (
    clinic_id   uuid        NOT NULL REFERENCES core.clinics (id),
    id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    user_id     uuid        NOT NULL,
    object_type text        NOT NULL,
    object_id   uuid        NOT NULL,
    accessed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, user_id) REFERENCES core.users (clinic_id, id)
);
CREATE INDEX idx_access_log_clinic_user ON compliance.access_log (clinic_id, user_id);

-- Only what the application does. No TRUNCATE anywhere: it ignores row-level security.
GRANT USAGE ON SCHEMA core, clinical, compliance TO neonpro_app;
GRANT SELECT ON core.clinics TO neonpro_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON core.users, core.professionals TO neonpro_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clinical TO neonpro_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON compliance.lgpd_consents TO neonpro_app;
GRANT SELECT, INSERT ON compliance.access_log TO neonpro_app;
