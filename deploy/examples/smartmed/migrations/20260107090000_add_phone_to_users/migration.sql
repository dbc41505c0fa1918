-- The first of three steps to a required column: it may be empty.
ALTER TABLE users ADD COLUMN phone varchar(20);
