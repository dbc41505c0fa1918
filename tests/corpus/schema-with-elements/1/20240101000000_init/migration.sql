CREATE SCHEMA clinic CREATE TABLE room (id int PRIMARY KEY) CREATE VIEW rooms AS SELECT id FROM room;
CREATE TABLE clinic.bed (id int PRIMARY KEY, room int REFERENCES clinic.room);
CREATE INDEX ON clinic.bed (room);
