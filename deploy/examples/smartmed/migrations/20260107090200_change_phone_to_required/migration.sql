-- The last step. PostgreSQL takes the constraint that is already proven for the proof of NOT NULL and reads nothing.
ALTER TABLE users ALTER COLUMN phone SET NOT NULL;
ALTER TABLE users DROP CONSTRAINT users_phone_present;
