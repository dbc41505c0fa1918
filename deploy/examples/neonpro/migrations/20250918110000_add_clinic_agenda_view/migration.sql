-- The day at the front desk: who comes, to whom, at what time.
-- A view normally reads with the rights of its owner, and would show the rows that the owner may see.
-- security_invoker (PostgreSQL 15) makes it read with the rights of whoever asks, so the policies hold here too.

CREATE VIEW clinical.clinic_agenda WITH (security_invoker = true) AS
SELECT a.clinic_id,
       a.id AS appointment_id,
       a.starts_at,
       a.ends_at,
       a.status,
       p.full_name AS patient,
       u.full_name AS professional
FROM clinical.appointments a
JOIN clinical.patients p ON (p.clinic_id, p.id) = (a.clinic_id, a.patient_id)
JOIN core.professionals d ON (d.clinic_id, d.id) = (a.clinic_id, a.professional_id)
JOIN core.users u ON (u.clinic_id, u.id) = (d.clinic_id, d.user_id);

GRANT SELECT ON clinical.clinic_agenda TO neonpro_app;
