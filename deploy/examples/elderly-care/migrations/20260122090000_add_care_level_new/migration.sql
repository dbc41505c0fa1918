-- Expand: the care level becomes text. Changing the type in place would rewrite the table under a lock that keeps even
-- readers out; a second column and a trigger cost nothing.
ALTER TABLE residents ADD COLUMN care_level_pflegegrad_new varchar(10);

CREATE FUNCTION residents_care_level() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.care_level_pflegegrad_new := NEW.care_level_pflegegrad::text;
    RETURN NEW;
END $$;
CREATE TRIGGER residents_care_level BEFORE INSERT OR UPDATE OF care_level_pflegegrad, care_level_pflegegrad_new ON residents
    FOR EACH ROW EXECUTE FUNCTION residents_care_level();
