-- A practice sees and writes its own rows, and without a practice there are none.
--
-- The application opens each transaction with SET LOCAL app.practice_id = '<uuid>'. The policies read it so that a session
-- which never set it (NULL), and one that comes back from a pool (an empty string), see nothing and get no error; and
-- (SELECT …) lets the planner ask once per statement. USING decides which rows exist, WITH CHECK which may be written.
-- FORCE binds the owner of the tables as well.

ALTER TABLE practices ENABLE ROW LEVEL SECURITY;
ALTER TABLE practices FORCE ROW LEVEL SECURITY;
CREATE POLICY practice ON practices
    USING (id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid))
    WITH CHECK (id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY practice ON users
    USING (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid))
    WITH CHECK (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));

ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
ALTER TABLE patients FORCE ROW LEVEL SECURITY;
CREATE POLICY practice ON patients
    USING (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid))
    WITH CHECK (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));

ALTER TABLE appointments ENABLE ROW LEVEL SECURITY;
ALTER TABLE appointments FORCE ROW LEVEL SECURITY;
CREATE POLICY practice ON appointments
    USING (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid))
    WITH CHECK (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));

ALTER TABLE prescriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE prescriptions FORCE ROW LEVEL SECURITY;
CREATE POLICY practice ON prescriptions
    USING (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid))
    WITH CHECK (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));
