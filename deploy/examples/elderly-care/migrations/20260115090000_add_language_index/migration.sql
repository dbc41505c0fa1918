-- Outside a transaction, beside the writers. Without IF NOT EXISTS, which would take the invalid left-over of an
-- interrupted build for a finished index; Sluice removes such a left-over and builds again.
CREATE INDEX CONCURRENTLY idx_residents_preferred_language ON residents (preferred_language);
