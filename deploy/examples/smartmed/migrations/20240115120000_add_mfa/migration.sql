-- A second factor. Only additions: the version of the application that runs today keeps working.
ALTER TABLE users ADD COLUMN mfa_enabled boolean NOT NULL DEFAULT false;
ALTER TABLE users ADD COLUMN mfa_secret varchar(255);
