-- The name a patient wants to be called by, and the index reception searches it with.
-- Only additions: the version of the application that runs today does not know the column and keeps working.
-- A plain CREATE INDEX blocks writers while it builds. With a few thousand patients that is milliseconds;
-- on a large table build it CONCURRENTLY, as the neonpro example beside this one does.

ALTER TABLE "patients" ADD COLUMN "preferredName" varchar(255);

CREATE INDEX "patients_preferredName_idx" ON "patients" ("preferredName");
