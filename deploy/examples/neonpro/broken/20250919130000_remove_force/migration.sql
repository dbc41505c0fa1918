-- Sluice must say: VerificationFailed, rls-forced on compliance.access_log
ALTER TABLE compliance.access_log NO FORCE ROW LEVEL SECURITY;
