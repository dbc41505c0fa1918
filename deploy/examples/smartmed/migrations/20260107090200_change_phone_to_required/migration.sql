-- The third step. PostgreSQL takes a constraint that is already proven for the proof of NOT NULL, so no step reads the
-- whole table under a lock that keeps readers out.
ALTER TABLE users ALTER COLUMN phone SET DEFAULT '';
ALTER TABLE users ADD CONSTRAINT users_phone_present CHECK (phone IS NOT NULL) NOT VALID;
ALTER TABLE users VALIDATE CONSTRAINT users_phone_present;
ALTER TABLE users ALTER COLUMN phone SET NOT NULL;
ALTER TABLE users DROP CONSTRAINT users_phone_present;
