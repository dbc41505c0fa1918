-- The first day: practices, the people who work there, their patients, appointments and prescriptions.
--
-- Every row but a specialization belongs to a practice, and a foreign key between two such tables carries the practice
-- along: PostgreSQL checks foreign keys past row-level security, so a key on the id alone would let one practice point
-- at another one's patient and learn that the patient exists.

CREATE TABLE practices (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    name       varchar(255) NOT NULL,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- A list that all practices share.
CREATE TABLE specializations (
    id   uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(100) NOT NULL UNIQUE
);
INSERT INTO specializations (name) VALUES
    ('Cardiology'), ('Dermatology'), ('General Practice'), ('Neurology'), ('Pediatrics');

CREATE TABLE users (
    id                uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id       uuid         NOT NULL REFERENCES practices (id),
    email             varchar(255) NOT NULL,
    name              varchar(255) NOT NULL,
    role              varchar(20)  NOT NULL CHECK (role IN ('ADMIN', 'DOCTOR', 'RECEPTION')),
    password_hash     varchar(255) NOT NULL,
    specialization_id uuid         REFERENCES specializations (id) ON DELETE SET NULL,
    created_at        timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (practice_id, id),
    UNIQUE (practice_id, email)
);
CREATE INDEX idx_users_specialization_id ON users (specialization_id);

CREATE TABLE patients (
    id            uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id   uuid         NOT NULL REFERENCES practices (id),
    full_name     varchar(255) NOT NULL,
    date_of_birth date         NOT NULL,
    fax           varchar(20),
    created_at    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (practice_id, id)
);

CREATE TABLE appointments (
    id          uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id uuid         NOT NULL REFERENCES practices (id),
    patient_id  uuid         NOT NULL,
    doctor_id   uuid         NOT NULL,
    date        timestamp(3) NOT NULL,
    status      varchar(20)  NOT NULL DEFAULT 'scheduled',
    created_at  timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (practice_id, id),
    FOREIGN KEY (practice_id, patient_id) REFERENCES patients (practice_id, id),
    FOREIGN KEY (practice_id, doctor_id) REFERENCES users (practice_id, id)
);
CREATE INDEX idx_appointments_practice_id_patient_id ON appointments (practice_id, patient_id);
CREATE INDEX idx_appointments_practice_id_doctor_id ON appointments (practice_id, doctor_id);

CREATE TABLE prescriptions (
    id             uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id    uuid         NOT NULL REFERENCES practices (id),
    appointment_id uuid         NOT NULL,
    medication     varchar(255) NOT NULL,
    dosage         varchar(255) NOT NULL,
    created_at     timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (practice_id, appointment_id) REFERENCES appointments (practice_id, id)
);
CREATE INDEX idx_prescriptions_practice_id_appointment_id ON prescriptions (practice_id, appointment_id);

-- What the application does, and no more. No TRUNCATE: it ignores row-level security.
GRANT SELECT ON practices, specializations TO smartmed_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, patients, appointments, prescriptions TO smartmed_app;
