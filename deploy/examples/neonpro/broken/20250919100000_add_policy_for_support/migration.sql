-- Sluice must say: VerificationFailed, rls-policies on clinical.patients
-- Every policy that was there is still right, but PostgreSQL joins permissive policies with OR, and this one says true.
CREATE POLICY support ON clinical.patients FOR SELECT USING (true);
