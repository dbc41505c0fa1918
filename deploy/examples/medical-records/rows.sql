-- Made-up rows to try the example with. One number is longer than most.
INSERT INTO "providers" ("email", "passwordHash", "firstName", "lastName", "updatedAt") VALUES ('provider@records.example', 'none', 'Some', 'Body', now());
INSERT INTO "patients" ("firstName", "lastName", "dateOfBirth", "sex", "phone", "emergencyContactName", "emergencyContactPhone", "updatedAt")
SELECT 'Given', 'Family ' || n, '1980-01-01', 'other', '+49 30 0000000 extension ' || n, 'Relative', '0', now() FROM generate_series(1, 20) AS n;
INSERT INTO "appointments" ("patientId", "providerId", "appointmentDate", "appointmentType", "updatedAt")
SELECT p."id", d."id", now(), 'follow_up', now() FROM "patients" p CROSS JOIN "providers" d;
