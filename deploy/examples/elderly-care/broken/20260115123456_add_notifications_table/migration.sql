-- Sluice must say: HistoryDiverged, edited-migration on 20260115123456_add_notifications_table
-- Applied long ago and shortened since. Prisma would say that everything is up to date.
CREATE TABLE notifications (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users (id));
