-- The rows that were there before the trigger: 10,000 at a time, each batch committed. Hashes are copied and not made
-- anew, so the chain stays what it was.
-- sluice: backfill key=id batch=10000 pause=100ms
INSERT INTO audit_log_ledger_partitioned SELECT * FROM audit_log_ledger ON CONFLICT DO NOTHING;
