-- Unique, so that two patients never share the number that goes out of the house.
CREATE UNIQUE INDEX CONCURRENTLY idx_patients_external_id ON patients (external_id);
