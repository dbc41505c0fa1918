-- Who did what. The application adds to it and reads it; it may not change it.
CREATE TABLE audit_logs (
    id          uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id uuid         NOT NULL REFERENCES practices (id),
    user_id     uuid         NOT NULL,
    action      varchar(100) NOT NULL,
    timestamp   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (practice_id, user_id) REFERENCES users (practice_id, id)
);
CREATE INDEX idx_audit_logs_practice_id_user_id ON audit_logs (practice_id, user_id);

ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY practice ON audit_logs
    USING (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid))
    WITH CHECK (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));
GRANT SELECT, INSERT ON audit_logs TO smartmed_app;
