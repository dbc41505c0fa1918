-- sluice: no-transaction
-- The rows that were there before the trigger: 10,000 at a time, each batch committed. Hashes are copied and not made
-- anew, so the chain stays what it was.
DO $$
DECLARE
    last_id bigint := 0;
    next_id bigint;
BEGIN
    LOOP
        SELECT max(id) INTO next_id
        FROM (SELECT id FROM audit_log_ledger WHERE id > last_id ORDER BY id LIMIT 10000) AS next;
        EXIT WHEN next_id IS NULL;
        INSERT INTO audit_log_ledger_partitioned
        SELECT * FROM audit_log_ledger WHERE id > last_id AND id <= next_id
        ON CONFLICT DO NOTHING;
        last_id := next_id;
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
