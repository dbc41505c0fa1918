-- A foreign key in two steps. NOT VALID holds for every new row at once and reads none of the old ones. No CASCADE:
-- deleting a resident must not take ten years of medication along.
ALTER TABLE medication_logs ADD CONSTRAINT medication_logs_resident_id_fkey
    FOREIGN KEY (resident_id) REFERENCES residents (id) NOT VALID;
