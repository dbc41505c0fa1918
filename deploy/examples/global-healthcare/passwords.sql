-- FOR THE EXAMPLE ONLY, and only for the PostgreSQL of postgres.yaml: the passwords that secrets.yaml puts into the URLs.
ALTER ROLE healthcare_auth_migrator PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_auth_app PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_api_migrator PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_api_app PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_api_reader PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_telehealth_migrator PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_telehealth_app PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_mental_health_migrator PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_mental_health_app PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_chronic_care_migrator PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_chronic_care_app PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_pharmacy_migrator PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_pharmacy_app PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_laboratory_migrator PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_laboratory_app PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_imaging_migrator PASSWORD 'for-the-example-only';
ALTER ROLE healthcare_imaging_app PASSWORD 'for-the-example-only';
