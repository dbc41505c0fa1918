-- Expand: the two name columns become one. They stay until no Pod reads them; the trigger fills the new column for the
-- version of the application that does not know it yet.
ALTER TABLE residents ADD COLUMN full_name varchar(201);

CREATE FUNCTION residents_full_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.full_name IS NULL OR (TG_OP = 'UPDATE' AND NEW.full_name IS NOT DISTINCT FROM OLD.full_name
        AND (NEW.first_name, NEW.last_name) IS DISTINCT FROM (OLD.first_name, OLD.last_name)) THEN
        NEW.full_name := NEW.first_name || ' ' || NEW.last_name;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER residents_full_name BEFORE INSERT OR UPDATE OF first_name, last_name, full_name ON residents
    FOR EACH ROW EXECUTE FUNCTION residents_full_name();
