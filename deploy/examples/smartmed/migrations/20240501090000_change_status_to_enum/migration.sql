-- Changing the type of the column in place would rewrite the table and break the version that runs today. So there is a
-- second column; the application writes both, and the old one goes when nothing reads it any more.
CREATE TYPE appointment_status AS ENUM ('scheduled', 'confirmed', 'completed', 'cancelled', 'no_show');
ALTER TABLE appointments ADD COLUMN status_new appointment_status NOT NULL DEFAULT 'scheduled';
