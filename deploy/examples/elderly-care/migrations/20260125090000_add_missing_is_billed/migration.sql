-- One UPDATE of 847,600 rows would keep its locks until the last of them is written. 10,000 rows at a time, each batch
-- committed and going on behind the last id: 85 short locks with 100 ms for the nurses in between.
-- sluice: backfill key=id batch=10000 pause=100ms
UPDATE medication_logs SET is_billed = false WHERE is_billed IS NULL;
