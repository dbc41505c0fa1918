-- sluice: no-transaction
-- 1000 patients at a time, each batch committed, going on behind the last id and not from the start. Filtering on NULL
-- and skipping what was done at the same time would leave half of the rows out. Stopped in the middle it can be run again.
DO $$
DECLARE
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    batch   uuid[];
BEGIN
    LOOP
        SELECT array_agg(id ORDER BY id) INTO batch
        FROM (SELECT id FROM patients WHERE id > last_id AND external_id IS NULL ORDER BY id LIMIT 1000) AS next;
        EXIT WHEN batch IS NULL;
        UPDATE patients SET external_id = gen_random_uuid() WHERE id = ANY (batch) AND external_id IS NULL;
        last_id := batch[array_upper(batch, 1)];
        COMMIT;
    END LOOP;
END $$;
