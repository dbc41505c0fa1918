-- Run once by the administrator, as a superuser who is connected to the application's database. Roles belong to the
-- server, so no migration creates them. None has a password here.

-- Owns the tables, changes them and takes the snapshot.
CREATE ROLE elderly_care_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;

-- The application. It owns nothing, so it can neither switch a trigger of the ledger off nor drop a partition.
CREATE ROLE elderly_care_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;

DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO elderly_care_migrator', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO elderly_care_app', current_database());
END $$;
