-- sluice: no-transaction
-- One UPDATE of 847,600 rows would keep its locks until the last of them is written. 10,000 rows at a time, each batch
-- committed and going on behind the last id: 85 short locks with 100 ms for the nurses in between.
DO $$
DECLARE
    last_id bigint := 0;
    next_id bigint;
BEGIN
    LOOP
        SELECT max(id) INTO next_id
        FROM (SELECT id FROM medication_logs WHERE id > last_id ORDER BY id LIMIT 10000) AS next;
        EXIT WHEN next_id IS NULL;
        UPDATE medication_logs SET is_billed = false WHERE id > last_id AND id <= next_id AND is_billed IS NULL;
        last_id := next_id;
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
