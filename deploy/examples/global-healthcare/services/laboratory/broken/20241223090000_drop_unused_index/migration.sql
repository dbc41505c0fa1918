-- Sluice must say: VerificationFailed, foreign-key-indexed on public.LabResult
-- Unused today; each DELETE of a test reads the whole table without it.
DROP INDEX "LabResult_labOrderTestId_idx";
