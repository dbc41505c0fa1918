-- Sluice must say: VerificationFailed, foreign-key-indexed on public.visits
CREATE TABLE visits (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    resident_id uuid        NOT NULL REFERENCES residents (id),
    visited_at  timestamptz NOT NULL DEFAULT now()
);
