ALTER TABLE "Visit" ALTER COLUMN "state" SET COMPRESSION pglz;
CREATE TABLE span (id int PRIMARY KEY, during tsrange, EXCLUDE USING gist (during WITH &&));
CREATE TYPE mood AS ENUM ('ok');
