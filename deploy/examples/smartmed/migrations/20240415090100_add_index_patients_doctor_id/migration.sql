-- Outside a transaction and beside the writers. Alone in its file: Prisma would put a second statement and this one into one
-- transaction, which PostgreSQL refuses.
CREATE INDEX CONCURRENTLY idx_patients_practice_id_doctor_id ON patients (practice_id, doctor_id);
