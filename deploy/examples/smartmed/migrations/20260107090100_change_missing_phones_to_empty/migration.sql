-- The second step, in a file of its own: a data change next to a schema change would hold its locks for as long.
UPDATE users SET phone = '' WHERE phone IS NULL;
