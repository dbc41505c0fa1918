-- Telehealth keeps ids of patients and has no foreign key to them. Its verification asks whether they exist, as a role that may read
-- this one column and nothing else.
GRANT SELECT ("id") ON "Patient" TO healthcare_api_reader;
