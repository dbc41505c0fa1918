-- Sluice must say: VerificationFailed, foreign-key-required on public.ChatMessage
-- Messages belong to their visit and go with it; this would keep every visit for ever.
ALTER TABLE "ChatMessage" DROP CONSTRAINT "ChatMessage_visitId_fkey";
ALTER TABLE "ChatMessage" ADD CONSTRAINT "ChatMessage_visitId_fkey"
    FOREIGN KEY ("visitId") REFERENCES "Visit" ("id") ON UPDATE CASCADE ON DELETE RESTRICT;
