CREATE TABLE "Visit" (
    "id" SERIAL NOT NULL,
    "state" TEXT,
    CONSTRAINT "Visit_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Note" ("id" SERIAL PRIMARY KEY, "visitId" INTEGER REFERENCES "Visit"("id"));
CREATE INDEX "Note_visitId_idx" ON "Note"("visitId") WHERE "visitId" IS NOT NULL;
