-- Sluice must say: VerificationFailed, index-required on public.appointments
DROP INDEX idx_appointments_date;
