-- Sluice must say: VerificationFailed, rls-enabled on public.invoices
CREATE TABLE invoices (
    id          uuid          PRIMARY KEY DEFAULT gen_random_uuid(),
    practice_id uuid          NOT NULL REFERENCES practices (id),
    amount      numeric(9, 2) NOT NULL
);
CREATE INDEX idx_invoices_practice_id ON invoices (practice_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON invoices TO smartmed_app;
