-- Made-up rows to try the example with: 40 members of staff, 80 residents, their medication, a ledger. Run as
-- elderly_care_migrator.
INSERT INTO users (email, full_name, role) SELECT 'user' || n || '@care.example', 'User ' || n, 'nurse' FROM generate_series(1, 40) AS n;
INSERT INTO residents (first_name, last_name, date_of_birth, care_level_pflegegrad)
SELECT 'Given', 'Family ' || n, '1940-01-01', 1 + n % 5 FROM generate_series(1, 80) AS n;
INSERT INTO medication_logs (resident_id, administered_by)
SELECT r.id, u.id FROM residents r CROSS JOIN (SELECT id FROM users ORDER BY email LIMIT 5) AS u;
INSERT INTO notifications (user_id, title, body) SELECT id, 'Welcome', 'Nothing to do yet' FROM users;
INSERT INTO audit_log_ledger (user_id, user_role, action, resource_type, resource_id, event_type)
SELECT id, role, 'LOGIN', 'session', id::text, 'ACCESS' FROM users;
