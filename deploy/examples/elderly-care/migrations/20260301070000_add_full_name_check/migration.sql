-- Contract, at the earliest seven days after every Pod reads full_name. migration.yaml stops before this file until
-- somebody raises its target. First that every row has a full name, for new rows at once.
ALTER TABLE residents ADD CONSTRAINT residents_full_name_present CHECK (full_name IS NOT NULL) NOT VALID;
