-- sluice: contract of=20260207090000_change_audit_log_to_partitions min-age=168h
-- sluice: allow ban-drop-table reason="every row is in audit_log_ledger since 20260207090000"
DROP TABLE audit_log_ledger_old CASCADE;
