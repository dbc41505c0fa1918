-- Sluice must say: SourceInvalid, PREPARE
-- Half of a commit in two phases: nobody would ever do the other half, and the table would stay locked.
BEGIN;
ALTER TABLE "ImagingStudy" ADD COLUMN "description" text;
PREPARE TRANSACTION 'study';
