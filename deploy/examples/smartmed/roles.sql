-- Run once by the administrator, as a superuser who is connected to the application's database. Roles belong to the
-- server, so no migration creates them. None has a password here.

-- Owns the tables, changes them and takes the snapshot: pg_dump needs to see every row, hence BYPASSRLS.
CREATE ROLE smartmed_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS;

-- The application. Everything it sees and writes goes through the policies.
CREATE ROLE smartmed_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;

-- Verification becomes the application, in a transaction that is rolled back, and tries what an attacker would try.
GRANT smartmed_app TO smartmed_migrator;

DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO smartmed_migrator', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO smartmed_app', current_database());
END $$;
