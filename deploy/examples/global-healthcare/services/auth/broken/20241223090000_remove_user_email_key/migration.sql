-- Sluice must say: VerificationFailed, index-required on public.User
-- Without it two accounts can have one address.
DROP INDEX "User_email_key";
