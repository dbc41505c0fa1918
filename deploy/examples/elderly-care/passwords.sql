-- FOR THE EXAMPLE ONLY, and only for the PostgreSQL of postgres.yaml: the passwords that secret.yaml puts into the URLs.
ALTER ROLE elderly_care_migrator PASSWORD 'for-the-example-only';
ALTER ROLE elderly_care_app PASSWORD 'for-the-example-only';
