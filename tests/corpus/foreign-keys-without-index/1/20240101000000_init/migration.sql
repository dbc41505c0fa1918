CREATE TABLE "Visit" (
    "id" SERIAL NOT NULL,
    "state" TEXT,
    CONSTRAINT "Visit_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Note" (
    "id" SERIAL NOT NULL,
    "visitId" INTEGER NOT NULL,
    CONSTRAINT "Note_pkey" PRIMARY KEY ("id")
);
ALTER TABLE "Note" ADD CONSTRAINT "Note_visitId_fkey" FOREIGN KEY ("visitId") REFERENCES "Visit"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
