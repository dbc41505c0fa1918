-- sluice: allow ban-drop-column reason="no version since 2023 reads or writes it"
ALTER TABLE patients DROP COLUMN fax;
