-- Once a loose file beside the migrations, which Prisma does not see: it was run by hand, on some servers. As a migration it
-- runs everywhere, once.

CREATE TABLE "WebhookEventLog" (
    "id"          uuid         NOT NULL DEFAULT gen_random_uuid(),
    "webhookId"   uuid         NOT NULL,
    "event"       text         NOT NULL,
    "payload"     jsonb        NOT NULL,
    "deliveredAt" timestamp(3),
    "createdAt"   timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt"   timestamp(3) NOT NULL,
    CONSTRAINT "WebhookEventLog_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "WebhookEventLog_webhookId_fkey" FOREIGN KEY ("webhookId") REFERENCES "Webhook" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "WebhookEventLog_webhookId_createdAt_idx" ON "WebhookEventLog" ("webhookId", "createdAt");
