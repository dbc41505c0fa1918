-- 10,000 users at a time, each batch committed, and 100 ms for everybody else in between.
-- sluice: backfill key=id batch=10000 pause=100ms
UPDATE users SET full_name = name WHERE full_name IS NULL;
