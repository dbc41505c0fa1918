-- Sluice must say: VerificationFailed, index-required on public.notifications
-- The new index has the right name and the wrong direction.
DROP INDEX idx_notifications_user;
CREATE INDEX idx_notifications_user ON notifications (user_id, created_at);
