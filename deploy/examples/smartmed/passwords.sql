-- FOR THE EXAMPLE ONLY, and only for the PostgreSQL of postgres.yaml: the passwords that secret.yaml puts into the URLs.
ALTER ROLE smartmed_migrator PASSWORD 'for-the-example-only';
ALTER ROLE smartmed_app PASSWORD 'for-the-example-only';
