CREATE OR REPLACE FUNCTION touch() RETURNS trigger AS $body$
BEGIN
  -- not; the end
  NEW."state" := 'a;b' || E'\';' || $q$;$q$; RETURN NEW;
END;
$body$ LANGUAGE plpgsql;
CREATE FUNCTION one() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END;
CREATE TRIGGER touch BEFORE INSERT ON "Visit" FOR EACH ROW EXECUTE FUNCTION touch();
CREATE RULE nothing AS ON DELETE TO "Visit" DO INSTEAD (SELECT 1; SELECT 2);
/* a /* nested; */ comment; */ DO $$ BEGIN PERFORM 1; END $$;
INSERT INTO "Visit" ("state") VALUES (U&'\0041;'), ('it''s;'), ('back\slash;');
