-- sluice: no-transaction
-- Data in a file of its own, 1000 users at a time, each batch committed. The cursor is the id: a loop that only asks for
-- rows without a new value would never end, because users without a phone stay without one.
DO $$
DECLARE
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    batch   uuid[];
BEGIN
    LOOP
        SELECT array_agg("id" ORDER BY "id") INTO batch
        FROM (SELECT "id" FROM "User" WHERE "id" > last_id ORDER BY "id" LIMIT 1000) AS next;
        EXIT WHEN batch IS NULL;
        UPDATE "User" SET "phoneNumber" = "phone" WHERE "id" = ANY (batch) AND "phoneNumber" IS NULL AND "phone" IS NOT NULL;
        last_id := batch[array_upper(batch, 1)];
        COMMIT;
    END LOOP;
END $$;
