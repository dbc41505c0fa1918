-- Sluice must say: VerificationFailed, index-required on providers
-- Whatever knows the old name breaks the moment this commits, and the manifest is the first to notice.
ALTER TABLE "providers" RENAME TO "users";
