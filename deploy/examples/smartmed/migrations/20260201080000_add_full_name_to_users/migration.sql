-- "name" becomes "full_name". A rename would break every Pod of the version that runs today, so the new column comes
-- first, and a trigger keeps the two equal while both versions of the application write.
ALTER TABLE users ADD COLUMN full_name varchar(255);

CREATE FUNCTION users_keep_names_equal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.full_name IS DISTINCT FROM OLD.full_name THEN
        NEW.name := NEW.full_name;
    ELSE
        NEW.name := COALESCE(NEW.name, NEW.full_name);
        NEW.full_name := NEW.name;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER users_keep_names_equal BEFORE INSERT OR UPDATE OF name, full_name ON users
    FOR EACH ROW EXECUTE FUNCTION users_keep_names_equal();
