-- Data in a file of its own, 1000 users at a time, each batch committed. Users without a phone stay without one, so the
-- condition names them: a row that stays as it is would end the backfill.
-- sluice: backfill key=id batch=1000
UPDATE "User" SET "phoneNumber" = "phone" WHERE "phoneNumber" IS NULL AND "phone" IS NOT NULL;
