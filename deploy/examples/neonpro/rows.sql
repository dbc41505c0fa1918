-- Made-up rows of three clinics, to try the example with. Run as neonpro_migrator, whom row-level security does not bind.
WITH c AS (INSERT INTO core.clinics (name, cnpj) SELECT 'Clinic ' || n, n::text FROM generate_series(1, 3) AS n RETURNING id),
     u AS (INSERT INTO core.users (clinic_id, email, full_name) SELECT id, 'somebody@clinic.example', 'Somebody' FROM c RETURNING clinic_id, id),
     d AS (INSERT INTO core.professionals (clinic_id, user_id, council, register_number)
           SELECT clinic_id, id, 'CRM', '1' FROM u RETURNING clinic_id, id),
     p AS (INSERT INTO clinical.patients (clinic_id, full_name, birth_date, cpf_hash)
           SELECT id, 'Patient ' || n, '1980-01-01', sha256(n::text::bytea) FROM c, generate_series(1, 20) AS n RETURNING clinic_id, id),
     a AS (INSERT INTO clinical.appointments (clinic_id, patient_id, professional_id, starts_at, ends_at)
           SELECT p.clinic_id, p.id, d.id, now(), now() + interval '30 minutes' FROM p JOIN d USING (clinic_id)),
     r AS (INSERT INTO clinical.medical_records (clinic_id, patient_id, professional_id, note)
           SELECT p.clinic_id, p.id, d.id, 'none' FROM p JOIN d USING (clinic_id) RETURNING clinic_id, id),
     l AS (INSERT INTO compliance.access_log (clinic_id, user_id, object_type, object_id) SELECT clinic_id, id, 'user', id FROM u),
     n AS (INSERT INTO compliance.lgpd_consents (clinic_id, patient_id, purpose) SELECT clinic_id, id, 'treatment' FROM p)
INSERT INTO clinical.prescriptions (clinic_id, medical_record_id, medication, dosage) SELECT clinic_id, id, 'none', 'none' FROM r;
