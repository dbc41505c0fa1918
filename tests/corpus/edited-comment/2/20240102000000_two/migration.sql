-- AlterTable
ALTER TABLE "Visit"  ADD COLUMN "two" INT;
