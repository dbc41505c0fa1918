-- A new table disturbs nobody: small, at any time of the day.
CREATE TABLE notifications (
    id         uuid         NOT NULL DEFAULT gen_random_uuid(),
    user_id    uuid         NOT NULL,
    title      varchar(200) NOT NULL,
    body       text         NOT NULL,
    created_at timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT notifications_pkey PRIMARY KEY (id),
    CONSTRAINT notifications_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
-- The newest first, as the bell in the corner shows them.
CREATE INDEX idx_notifications_user ON notifications (user_id, created_at DESC);
GRANT SELECT, INSERT, UPDATE, DELETE ON notifications TO elderly_care_app;
INSERT INTO schema_migrations (version, description) VALUES ('1.1.0', 'Notifications');
