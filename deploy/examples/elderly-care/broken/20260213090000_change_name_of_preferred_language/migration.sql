-- Sluice must say: VerificationFailed, index-required on public.residents
-- A rename in one step: whatever reads the old name breaks, and the manifest is the first to notice.
ALTER TABLE residents RENAME COLUMN preferred_language TO language;
