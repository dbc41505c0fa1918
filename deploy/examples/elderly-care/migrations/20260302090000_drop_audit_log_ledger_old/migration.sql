-- sluice: allow ban-drop-table reason="every row is in audit_log_ledger since 20260207090000"
DROP TABLE audit_log_ledger_old CASCADE;
