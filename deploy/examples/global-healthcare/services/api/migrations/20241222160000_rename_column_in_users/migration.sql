-- "phone" becomes "phoneNumber" by expanding: a rename would break every Pod of the version that runs today. The new
-- version writes both columns and reads the new one; the old one goes in a later release, when nothing reads it.
ALTER TABLE "User" ADD COLUMN "phoneNumber" text;
