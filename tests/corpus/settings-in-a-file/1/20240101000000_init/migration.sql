CREATE SCHEMA clinic;
SET search_path = clinic, public;
CREATE TABLE room (id int PRIMARY KEY);
SET LOCAL lock_timeout = 0;
SELECT pg_catalog.set_config('search_path', 'public', false);
