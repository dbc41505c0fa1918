-- Sluice must say: VerificationFailed, rls-policies on public.appointments
CREATE POLICY anyone ON appointments FOR SELECT USING (true);
