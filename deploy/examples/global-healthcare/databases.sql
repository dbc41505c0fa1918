-- Run once by the administrator, as a superuser: eight databases, each with a role that owns it and a role for its service.
-- None has a password here.
--
-- There are no tenants inside a database. What is kept apart are the services, and PostgreSQL lets everybody connect
-- everywhere unless it is told otherwise: so nobody may, but the two roles of the database.

CREATE ROLE healthcare_auth_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE healthcare_auth_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE healthcare_auth OWNER healthcare_auth_migrator;
REVOKE ALL ON DATABASE healthcare_auth FROM PUBLIC;
GRANT CONNECT ON DATABASE healthcare_auth TO healthcare_auth_app;

CREATE ROLE healthcare_api_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE healthcare_api_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE healthcare_api OWNER healthcare_api_migrator;
REVOKE ALL ON DATABASE healthcare_api FROM PUBLIC;
GRANT CONNECT ON DATABASE healthcare_api TO healthcare_api_app;
-- For verifications of other services: which patients there are. A migration of the API grants it one column.
CREATE ROLE healthcare_api_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
GRANT CONNECT ON DATABASE healthcare_api TO healthcare_api_reader;

CREATE ROLE healthcare_telehealth_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE healthcare_telehealth_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE healthcare_telehealth OWNER healthcare_telehealth_migrator;
REVOKE ALL ON DATABASE healthcare_telehealth FROM PUBLIC;
GRANT CONNECT ON DATABASE healthcare_telehealth TO healthcare_telehealth_app;

CREATE ROLE healthcare_mental_health_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE healthcare_mental_health_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE healthcare_mental_health OWNER healthcare_mental_health_migrator;
REVOKE ALL ON DATABASE healthcare_mental_health FROM PUBLIC;
GRANT CONNECT ON DATABASE healthcare_mental_health TO healthcare_mental_health_app;

CREATE ROLE healthcare_chronic_care_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE healthcare_chronic_care_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE healthcare_chronic_care OWNER healthcare_chronic_care_migrator;
REVOKE ALL ON DATABASE healthcare_chronic_care FROM PUBLIC;
GRANT CONNECT ON DATABASE healthcare_chronic_care TO healthcare_chronic_care_app;

CREATE ROLE healthcare_pharmacy_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE healthcare_pharmacy_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE healthcare_pharmacy OWNER healthcare_pharmacy_migrator;
REVOKE ALL ON DATABASE healthcare_pharmacy FROM PUBLIC;
GRANT CONNECT ON DATABASE healthcare_pharmacy TO healthcare_pharmacy_app;

CREATE ROLE healthcare_laboratory_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE healthcare_laboratory_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE healthcare_laboratory OWNER healthcare_laboratory_migrator;
REVOKE ALL ON DATABASE healthcare_laboratory FROM PUBLIC;
GRANT CONNECT ON DATABASE healthcare_laboratory TO healthcare_laboratory_app;

CREATE ROLE healthcare_imaging_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE healthcare_imaging_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE healthcare_imaging OWNER healthcare_imaging_migrator;
REVOKE ALL ON DATABASE healthcare_imaging FROM PUBLIC;
GRANT CONNECT ON DATABASE healthcare_imaging TO healthcare_imaging_app;
