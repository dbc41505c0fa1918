CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT * FROM "Visit";
INSERT INTO "Visit" ("state") SELECT 'copy' FROM generate_series(1, 3);
