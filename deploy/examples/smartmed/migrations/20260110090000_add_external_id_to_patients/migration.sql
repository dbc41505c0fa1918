-- No default here: gen_random_uuid() gives another value to each row, so PostgreSQL would rewrite the table.
ALTER TABLE patients ADD COLUMN external_id uuid;
ALTER TABLE patients ALTER COLUMN external_id SET DEFAULT gen_random_uuid();
