-- Made-up rows of two practices, to try the example with. Run as smartmed_migrator.
WITH p AS (INSERT INTO practices (name) VALUES ('Harbour Street'), ('Old Mill') RETURNING id),
     u AS (INSERT INTO users (practice_id, email, name, role, password_hash)
           SELECT id, id || '@practice.example', 'Somebody', 'DOCTOR', 'none' FROM p RETURNING practice_id, id),
     c AS (INSERT INTO patients (practice_id, full_name, date_of_birth)
           SELECT practice_id, 'Patient ' || n, '1980-01-01' FROM u, generate_series(1, 20) AS n RETURNING practice_id, id),
     a AS (INSERT INTO appointments (practice_id, patient_id, doctor_id, date)
           SELECT c.practice_id, c.id, u.id, now() FROM c JOIN u USING (practice_id) RETURNING practice_id, id),
     l AS (INSERT INTO audit_logs (practice_id, user_id, action) SELECT practice_id, id, 'login' FROM u)
INSERT INTO prescriptions (practice_id, appointment_id, medication, dosage) SELECT practice_id, id, 'none', 'none' FROM a;
