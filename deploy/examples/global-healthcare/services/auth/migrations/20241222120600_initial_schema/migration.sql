-- Who may log in. Refresh tokens are rotated: each belongs to a family, and a token that is used twice ends its family.
-- Accounts lock after too many failed attempts.

-- Tables of this and every later migration are for the application to read and write; the history is not.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO healthcare_auth_app;

CREATE TYPE "UserStatus" AS ENUM ('active', 'locked', 'disabled');

CREATE TABLE "User" (
    "id"               uuid         NOT NULL DEFAULT gen_random_uuid(),
    "email"            text         NOT NULL,
    "passwordHash"     text         NOT NULL,
    "status"           "UserStatus" NOT NULL DEFAULT 'active',
    "failedLoginCount" integer      NOT NULL DEFAULT 0,
    "lockedUntil"      timestamp(3),
    "createdAt"        timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"        timestamp(3) NOT NULL,
    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "User_email_key" ON "User" ("email");

CREATE TABLE "RefreshToken" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid         NOT NULL,
    "familyId"  uuid         NOT NULL,
    "tokenHash" text         NOT NULL,
    "expiresAt" timestamp(3) NOT NULL,
    "revokedAt" timestamp(3),
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "RefreshToken_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "RefreshToken_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "RefreshToken_tokenHash_key" ON "RefreshToken" ("tokenHash");
CREATE INDEX "RefreshToken_userId_idx" ON "RefreshToken" ("userId");
CREATE INDEX "RefreshToken_familyId_idx" ON "RefreshToken" ("familyId");

CREATE TABLE "LoginAttempt" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid,
    "ipAddress" inet         NOT NULL,
    "succeeded" boolean      NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "LoginAttempt_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "LoginAttempt_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE SET NULL
);
CREATE INDEX "LoginAttempt_userId_createdAt_idx" ON "LoginAttempt" ("userId", "createdAt");

CREATE TABLE "PasswordReset" (
    "id"        uuid         NOT NULL DEFAULT gen_random_uuid(),
    "userId"    uuid         NOT NULL,
    "tokenHash" text         NOT NULL,
    "expiresAt" timestamp(3) NOT NULL,
    "usedAt"    timestamp(3),
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) NOT NULL,
    CONSTRAINT "PasswordReset_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "PasswordReset_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX "PasswordReset_tokenHash_key" ON "PasswordReset" ("tokenHash");
CREATE INDEX "PasswordReset_userId_idx" ON "PasswordReset" ("userId");
