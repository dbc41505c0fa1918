-- FOR THE EXAMPLE ONLY, and only for the PostgreSQL of postgres.yaml: the passwords that secret.yaml puts into the URLs.
ALTER ROLE neonpro_migrator PASSWORD 'for-the-example-only';
ALTER ROLE neonpro_app PASSWORD 'for-the-example-only';
