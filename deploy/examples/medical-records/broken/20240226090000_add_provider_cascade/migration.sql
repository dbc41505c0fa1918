-- Sluice must say: VerificationFailed, foreign-key-required on public.appointments
-- Deleting a provider would take the appointments along, and through them the records.
ALTER TABLE "appointments" DROP CONSTRAINT "appointments_providerId_fkey";
ALTER TABLE "appointments" ADD CONSTRAINT "appointments_providerId_fkey"
    FOREIGN KEY ("providerId") REFERENCES "providers" ("id") ON UPDATE CASCADE ON DELETE CASCADE;
