CREATE SCHEMA IF NOT EXISTS extensions;
CREATE EXTENSION IF NOT EXISTS "citext" WITH SCHEMA extensions;
CREATE EXTENSION IF NOT EXISTS "pgcrypto";
CREATE TABLE "Person" ("id" UUID NOT NULL DEFAULT gen_random_uuid(), "mail" extensions.citext NOT NULL, CONSTRAINT "Person_pkey" PRIMARY KEY ("id"));
CREATE UNIQUE INDEX "Person_mail_key" ON "Person"("mail");
