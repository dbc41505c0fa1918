-- sluice: no-transaction
-- 10,000 users at a time, each batch committed, and 100 ms for everybody else in between.
DO $$
DECLARE
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    batch   uuid[];
BEGIN
    LOOP
        SELECT array_agg(id ORDER BY id) INTO batch
        FROM (SELECT id FROM users WHERE id > last_id AND full_name IS NULL ORDER BY id LIMIT 10000) AS next;
        EXIT WHEN batch IS NULL;
        UPDATE users SET full_name = name WHERE id = ANY (batch) AND full_name IS NULL;
        last_id := batch[array_upper(batch, 1)];
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
