-- Sluice must say: VerificationFailed, rls-view on clinical.monthly_report
-- A view reads with the rights of its owner, whom no policy binds. security_invoker is missing.
CREATE VIEW clinical.monthly_report AS
SELECT clinic_id, date_trunc('month', starts_at) AS month, count(*) AS visits FROM clinical.appointments GROUP BY 1, 2;
GRANT SELECT ON clinical.monthly_report TO neonpro_app;
