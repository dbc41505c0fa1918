-- A constant default is stored once, in the catalog: no row is rewritten, whatever the size of the table.
ALTER TABLE residents ADD COLUMN preferred_language varchar(10) DEFAULT 'de';
