-- Sluice must say: VerificationFailed, tenant-isolation on clinical.medical_records
-- "No clinic chosen means the back office": so does every connection that comes back from a pool.
ALTER POLICY tenant_select ON clinical.medical_records
    USING (COALESCE(current_setting('app.clinic_id', true), '') = '' OR clinic_id::text = current_setting('app.clinic_id', true));
