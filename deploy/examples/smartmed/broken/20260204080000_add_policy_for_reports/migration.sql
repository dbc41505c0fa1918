-- Sluice must say: VerificationFailed, tenant-isolation on public.patients
-- Every policy that was there is still right, but PostgreSQL joins permissive policies with OR.
CREATE POLICY reports ON patients FOR SELECT USING (date_of_birth IS NOT NULL);
