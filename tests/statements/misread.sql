-- Statements that Sluice misread once, each behind what it is: verb, needs, reach, and why it was misread.
-- `tests/contract/statements.rs` holds Sluice's reading against these lines, `compare` against PostgreSQL's parser.

--= Create Nothing Inside: a body of the standard was cut at its first semicolon
CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END;
--= Create Nothing Inside: the actions of a rule were cut
CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); INSERT INTO b VALUES (2););
--= Query Nothing Inside: a string that goes on behind a line break keeps its escapes
SELECT E'a'
  'it\'s; ';
--= Query Nothing Inside: a dollar in a name begins no string
SELECT a$b$ FROM t;
--= Create Nothing Inside: a parser for the whole language did not know COMPRESSION and lost the file
CREATE TABLE t (a text COMPRESSION lz4, EXCLUDE USING gist (a WITH =));
--= Create BuildIndex Inside: the name was read as ONLY
CREATE INDEX CONCURRENTLY ON ONLY t (a);
--= Create BuildIndex Inside: a name by its code points
CREATE INDEX CONCURRENTLY U&"d\0061ta" ON t (a);
--= Alter Outside Inside: keywords were compared with one blank between them
ALTER   TABLE /* why */ ONLY p DETACH PARTITION p1 CONCURRENTLY;
--= Alter Nothing Inside: a column that is called like a keyword
ALTER TABLE t ADD COLUMN "concurrently" int;
--= Reindex Undecided Inside: an option that is switched off
REINDEX (CONCURRENTLY false) INDEX i;
--= Vacuum Outside Inside: no blank behind the verb
VACUUM(FULL) t;
--= Query Nothing Inside: a comment in a comment stood before the query
/* a /* comment */ in one */ SELECT 1;
--= Query Nothing Inside: a comment stood behind the parenthesis
( -- why
  SELECT 1);
--= Code Opaque Hidden: a dash or two in a string took the rest of the line for a comment
DO $$ BEGIN RAISE NOTICE '--'; ALTER ROLE app SUPERUSER; END $$;
--= Code Opaque Hidden: a comment stood between the words
DO $$ BEGIN ALTER /* the */ ROLE app SUPERUSER; END $$;
--= Code Opaque Inside: a comment of more than one line was read as code
DO $$ BEGIN /* never
  ALTER ROLE here */ PERFORM 1; END $$;
--= Other Nothing Beyond: of a query that deletes, FROM was taken for the FROM of COPY
COPY (DELETE FROM t RETURNING a) TO '/tmp/x';
--= Other Nothing Inside: the word stood in the name of a file
COPY t FROM '/tmp/the program';
--= Other Nothing Inside: the word stood in the label
SECURITY LABEL ON TABLE t IS 'for each role';
--= Other Nothing Inside: a table that is called so
GRANT SELECT ON database TO app;
--= Other Nothing Beyond: a role that is called so
GRANT "on" TO app;
--= Create Nothing Inside: a user mapping belongs to the database
CREATE USER MAPPING FOR app SERVER s;
