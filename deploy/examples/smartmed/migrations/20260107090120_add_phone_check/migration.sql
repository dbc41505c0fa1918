-- The third step to a required column: the rule, for new rows at once. Old rows are not read, so the lock that keeps readers
-- out is held for a moment.
ALTER TABLE users ALTER COLUMN phone SET DEFAULT '';
ALTER TABLE users ADD CONSTRAINT users_phone_present CHECK (phone IS NOT NULL) NOT VALID;
