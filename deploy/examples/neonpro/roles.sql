-- Run once by the administrator, as a superuser who is connected to the application's database:
--
--     psql "$ADMIN_URL" -f roles.sql
--
-- Roles belong to the server and not to a schema, so no migration creates them: a migration runs with fewer
-- rights than that, and it must also run on a database where the roles exist already.
-- None has a password here. Set one with \password, or log in by certificate, and put the URLs into the Secrets.

-- Owns the tables and changes them; also takes the snapshot. BYPASSRLS, because pg_dump refuses to start for a role
-- that row-level security hides rows from, and a data migration for such a role would change no row and look
-- successful. It gives nothing away: the owner of a table may switch its row-level security off anyway.
CREATE ROLE neonpro_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS;

-- The application. Everything it sees and writes goes through the policies.
CREATE ROLE neonpro_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;

-- The nightly backup. Reads every row of every clinic and writes nothing.
CREATE ROLE neonpro_backup LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS;
GRANT pg_read_all_data TO neonpro_backup;

-- Verification becomes the application for the length of a transaction that is rolled back, and tries what an
-- attacker would try. For that the migrator has to be a member of the application's role.
GRANT neonpro_app TO neonpro_migrator;

-- The owner of the database may create schemas in it. PUBLIC loses what nobody needs.
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO neonpro_migrator', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO neonpro_app, neonpro_backup', current_database());
END $$;
