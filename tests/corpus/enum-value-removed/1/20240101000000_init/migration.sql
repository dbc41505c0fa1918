-- CreateEnum
CREATE TYPE "State" AS ENUM ('PLANNED', 'DONE', 'LOST');

-- CreateTable
CREATE TABLE "Visit" (
    "id" SERIAL NOT NULL,
    "state" "State" NOT NULL DEFAULT 'PLANNED',
    CONSTRAINT "Visit_pkey" PRIMARY KEY ("id")
);
