-- Sluice must say: SourceInvalid, BEGIN
-- A transaction of its own inside the one that carries the row of the history.
BEGIN;
ALTER TABLE "ImagingStudy" ADD COLUMN "description" text;
