-- A phase of its own, because Prisma's schema knows no policies: it runs after Prisma's migrations, in their transaction.
-- A clinic sees and writes its own rows, and without a clinic there are none.
--
-- The application opens each transaction with SET LOCAL app.clinic_id = '<uuid>'.
--   * current_setting(…, true): a session that never set it gets NULL and no error.
--   * NULLIF(…, ''): after a transaction that did set it, PostgreSQL leaves an empty string behind and not NULL.
--     Without NULLIF every connection that comes back from a pool would fail on the cast to uuid.
--   * (SELECT …): the planner asks once per statement and not once per row.
--
-- ENABLE does not bind the owner of a table, FORCE does: the day somebody lets the application connect as the owner,
-- the policies still hold. One policy for each command: USING decides which rows exist, WITH CHECK which may be written.

-- The tenants themselves: here the clinic is the id. The application was granted nothing but SELECT.
ALTER TABLE core.clinics ENABLE ROW LEVEL SECURITY;
ALTER TABLE core.clinics FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON core.clinics FOR SELECT
    USING (id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON core.clinics FOR INSERT
    WITH CHECK (id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON core.clinics FOR UPDATE
    USING (id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON core.clinics FOR DELETE
    USING (id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));

ALTER TABLE core.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE core.users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON core.users FOR SELECT
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON core.users FOR INSERT
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON core.users FOR UPDATE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON core.users FOR DELETE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));

ALTER TABLE core.professionals ENABLE ROW LEVEL SECURITY;
ALTER TABLE core.professionals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON core.professionals FOR SELECT
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON core.professionals FOR INSERT
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON core.professionals FOR UPDATE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON core.professionals FOR DELETE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));

ALTER TABLE clinical.patients ENABLE ROW LEVEL SECURITY;
ALTER TABLE clinical.patients FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON clinical.patients FOR SELECT
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON clinical.patients FOR INSERT
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON clinical.patients FOR UPDATE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON clinical.patients FOR DELETE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));

ALTER TABLE clinical.appointments ENABLE ROW LEVEL SECURITY;
ALTER TABLE clinical.appointments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON clinical.appointments FOR SELECT
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON clinical.appointments FOR INSERT
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON clinical.appointments FOR UPDATE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON clinical.appointments FOR DELETE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));

ALTER TABLE clinical.medical_records ENABLE ROW LEVEL SECURITY;
ALTER TABLE clinical.medical_records FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON clinical.medical_records FOR SELECT
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON clinical.medical_records FOR INSERT
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON clinical.medical_records FOR UPDATE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON clinical.medical_records FOR DELETE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));

ALTER TABLE clinical.prescriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE clinical.prescriptions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON clinical.prescriptions FOR SELECT
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON clinical.prescriptions FOR INSERT
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON clinical.prescriptions FOR UPDATE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON clinical.prescriptions FOR DELETE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));

ALTER TABLE compliance.lgpd_consents ENABLE ROW LEVEL SECURITY;
ALTER TABLE compliance.lgpd_consents FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON compliance.lgpd_consents FOR SELECT
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON compliance.lgpd_consents FOR INSERT
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON compliance.lgpd_consents FOR UPDATE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON compliance.lgpd_consents FOR DELETE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));

ALTER TABLE compliance.access_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE compliance.access_log FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_select ON compliance.access_log FOR SELECT
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_insert ON compliance.access_log FOR INSERT
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_update ON compliance.access_log FOR UPDATE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid))
    WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
CREATE POLICY tenant_delete ON compliance.access_log FOR DELETE
    USING (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));
