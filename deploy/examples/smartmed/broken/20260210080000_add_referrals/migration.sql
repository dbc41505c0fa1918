-- Sluice must say: VerificationFailed, foreign-key-indexed on public.prescriptions
ALTER TABLE prescriptions ADD COLUMN referred_by uuid REFERENCES users (id);
