CREATE TABLE "Visit" (
    "id" SERIAL NOT NULL,
    "state" TEXT,
    CONSTRAINT "Visit_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "_VisitToVisit" ("A" INTEGER NOT NULL REFERENCES "Visit"("id") ON DELETE CASCADE ON UPDATE CASCADE, "B" INTEGER NOT NULL REFERENCES "Visit"("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE UNIQUE INDEX "_VisitToVisit_AB_unique" ON "_VisitToVisit"("A", "B");
CREATE INDEX "_VisitToVisit_B_index" ON "_VisitToVisit"("B");
