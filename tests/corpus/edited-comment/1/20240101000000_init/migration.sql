CREATE TABLE "Visit" (
    "id" SERIAL NOT NULL,
    "state" TEXT,
    CONSTRAINT "Visit_pkey" PRIMARY KEY ("id")
);
