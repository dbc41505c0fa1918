-- Beside the writers, and without IF NOT EXISTS: after an interrupted build that takes the invalid left-over for an index.
CREATE INDEX CONCURRENTLY "Patient_email_idx" ON "Patient" ("email");
