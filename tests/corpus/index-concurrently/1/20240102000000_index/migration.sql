-- CreateIndex
CREATE INDEX CONCURRENTLY "Visit_state_idx" ON "Visit"("state");
