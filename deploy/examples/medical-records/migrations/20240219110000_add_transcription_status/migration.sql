-- Whether what was dictated is written down already. A constant default is stored once: no row is rewritten.
CREATE TYPE "TranscriptionStatus" AS ENUM ('none', 'pending', 'completed', 'failed');
ALTER TABLE "medical_records" ADD COLUMN "transcriptionStatus" "TranscriptionStatus" NOT NULL DEFAULT 'none';
CREATE INDEX "medical_records_transcriptionStatus_idx" ON "medical_records" ("transcriptionStatus");
