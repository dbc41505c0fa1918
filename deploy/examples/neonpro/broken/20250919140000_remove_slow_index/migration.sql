-- Sluice must say: VerificationFailed, index-required on clinical.appointments
DROP INDEX clinical.idx_appointments_clinic_start;
