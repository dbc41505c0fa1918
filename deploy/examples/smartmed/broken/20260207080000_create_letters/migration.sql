-- Sluice must say: VerificationFailed, rls-policies on public.letters
-- A policy FOR SELECT has no WITH CHECK, so the application that was granted INSERT and UPDATE can write nothing.
CREATE TABLE letters (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id uuid NOT NULL REFERENCES practices (id),
    body        text NOT NULL
);
CREATE INDEX idx_letters_practice_id ON letters (practice_id);
ALTER TABLE letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE letters FORCE ROW LEVEL SECURITY;
CREATE POLICY practice ON letters FOR SELECT
    USING (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE ON letters TO smartmed_app;
