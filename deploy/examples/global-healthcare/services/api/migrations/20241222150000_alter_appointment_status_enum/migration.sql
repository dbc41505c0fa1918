-- Adds a value and uses it nowhere: PostgreSQL refuses a value in the transaction that added it.
ALTER TYPE "AppointmentStatus" ADD VALUE 'no_show';
