-- Optional and without a default: instant, whatever the size of the table.
ALTER TABLE users ADD COLUMN last_login_at timestamp(3);
