-- At most one reminder for an appointment: the unique index is the rule, and no practice can tell from it that another
-- one has a reminder, because nobody can write an appointment of somebody else's.
CREATE TABLE appointment_reminders (
    id             uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id    uuid         NOT NULL REFERENCES practices (id),
    appointment_id uuid         NOT NULL,
    remind_at      timestamp(3) NOT NULL,
    sent_at        timestamp(3),
    FOREIGN KEY (practice_id, appointment_id) REFERENCES appointments (practice_id, id)
);
CREATE UNIQUE INDEX idx_appointment_reminders_appointment_id ON appointment_reminders (appointment_id);
CREATE INDEX idx_appointment_reminders_practice_id_appointment_id ON appointment_reminders (practice_id, appointment_id);

ALTER TABLE appointment_reminders ENABLE ROW LEVEL SECURITY;
ALTER TABLE appointment_reminders FORCE ROW LEVEL SECURITY;
CREATE POLICY practice ON appointment_reminders
    USING (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid))
    WITH CHECK (practice_id = (SELECT NULLIF(current_setting('app.practice_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON appointment_reminders TO smartmed_app;
