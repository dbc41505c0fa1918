-- The swap, in one transaction: nobody writes while the two are compared, and nobody ever sees a ledger that is not whole.
LOCK TABLE audit_log_ledger IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    missing bigint;
BEGIN
    SELECT count(*) INTO missing
    FROM (SELECT id, hash FROM audit_log_ledger EXCEPT SELECT id, hash FROM audit_log_ledger_partitioned) AS difference;
    IF missing > 0 THEN
        RAISE EXCEPTION '% rows of the ledger were not copied', missing;
    END IF;
END $$;

DROP TRIGGER audit_copy ON audit_log_ledger;
DROP FUNCTION audit_copy();
DROP TRIGGER audit_chain ON audit_log_ledger;
DROP FUNCTION verify_audit_chain();

ALTER TABLE audit_log_ledger RENAME TO audit_log_ledger_old;
ALTER TABLE audit_log_ledger_partitioned RENAME TO audit_log_ledger;

-- A function that takes a row is bound to one table, so the new table gets its own.
CREATE FUNCTION audit_hash(entry audit_log_ledger) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(concat_ws('|', entry.id, entry.user_id, entry.user_role, entry.action, entry.resource_type,
        entry.resource_id, entry.current_state, entry.ip_address, entry.event_type,
        (extract(epoch FROM entry.event_timestamp) * 1000000)::bigint, COALESCE(entry.previous_hash, '')), 'UTF8')), 'hex')
$$;
CREATE FUNCTION verify_audit_chain() RETURNS TABLE (id bigint, is_valid boolean) LANGUAGE sql STABLE AS $$
    SELECT l.id, l.hash = audit_hash(l) AND l.previous_hash IS NOT DISTINCT FROM lag(l.hash) OVER (ORDER BY l.id)
    FROM audit_log_ledger l
$$;
CREATE TRIGGER audit_chain BEFORE INSERT ON audit_log_ledger FOR EACH ROW EXECUTE FUNCTION audit_chain();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();

GRANT SELECT, INSERT ON audit_log_ledger TO elderly_care_app;
REVOKE ALL ON audit_log_ledger_old FROM elderly_care_app;

-- The change itself is a fact for the ledger. All zeros stands for the system.
INSERT INTO audit_log_ledger (user_id, user_role, action, resource_type, resource_id, current_state, event_type) VALUES
    ('00000000-0000-0000-0000-000000000000', 'system', 'SCHEMA_MIGRATION', 'database', '20260207090000_change_audit_log_to_partitions',
     '{"partitions": "2026 to 2036, and a default"}', 'SYSTEM_ALERT');
INSERT INTO schema_migrations (version, description) VALUES ('1.2.0', 'Ledger in yearly partitions');
