-- A plain CREATE INDEX would keep every writer of appointments waiting while it builds. No IF NOT EXISTS: after an
-- interrupted build that would take the invalid left-over for a finished index.
CREATE INDEX CONCURRENTLY idx_appointments_date ON appointments (date);
