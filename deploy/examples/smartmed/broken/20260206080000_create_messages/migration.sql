-- Sluice must say: VerificationFailed, tenant-isolation on public.messages
-- What may be read is right. What may be written is not compared with the practice at all.
CREATE TABLE messages (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id uuid NOT NULL REFERENCES practices (id),
    body        text NOT NULL
);
CREATE INDEX idx_messages_practice_id ON messages (practice_id);
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE messages FORCE ROW LEVEL SECURITY;
CREATE POLICY read ON messages FOR SELECT
    USING (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));
CREATE POLICY write ON messages FOR INSERT WITH CHECK (body <> '');
GRANT SELECT, INSERT ON messages TO smartmed_app;
