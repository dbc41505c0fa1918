-- Made-up rows to try the example with. Run as healthcare_api_migrator.
WITH u AS (INSERT INTO "User" ("email", "firstName", "lastName", "updatedAt")
           SELECT 'user' || n || '@health.example', 'User', n::text, now() FROM generate_series(1, 10) AS n RETURNING "id"),
     p AS (INSERT INTO "Plan" ("name", "priceCents", "updatedAt") VALUES ('basic', 900, now()) RETURNING "id")
INSERT INTO "Subscription" ("userId", "planId", "updatedAt") SELECT u."id", p."id", now() FROM u CROSS JOIN p;
