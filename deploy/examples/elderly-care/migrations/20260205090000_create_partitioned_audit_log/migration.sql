-- The ledger becomes a table of yearly partitions, in three steps and without stopping. This one makes the new table
-- and lets a trigger copy what is written from now on.
--
-- The key of a partitioned table contains the partition's column.
-- Rows before 2026 and after 2036 go to the default partition.
CREATE TABLE audit_log_ledger_partitioned (
    id              bigint       NOT NULL,
    user_id         uuid         NOT NULL,
    user_role       varchar(20)  NOT NULL,
    action          varchar(50)  NOT NULL,
    resource_type   varchar(50)  NOT NULL,
    resource_id     varchar(200) NOT NULL,
    current_state   jsonb        NOT NULL DEFAULT '{}',
    ip_address      inet,
    event_type      varchar(30)  NOT NULL,
    event_timestamp timestamptz  NOT NULL DEFAULT now(),
    previous_hash   text,
    hash            text,
    PRIMARY KEY (id, event_timestamp)
) PARTITION BY RANGE (event_timestamp);

CREATE TABLE audit_log_2026 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2026-01-01 00:00Z') TO ('2027-01-01 00:00Z');
CREATE TABLE audit_log_2027 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2027-01-01 00:00Z') TO ('2028-01-01 00:00Z');
CREATE TABLE audit_log_2028 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2028-01-01 00:00Z') TO ('2029-01-01 00:00Z');
CREATE TABLE audit_log_2029 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2029-01-01 00:00Z') TO ('2030-01-01 00:00Z');
CREATE TABLE audit_log_2030 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2030-01-01 00:00Z') TO ('2031-01-01 00:00Z');
CREATE TABLE audit_log_2031 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2031-01-01 00:00Z') TO ('2032-01-01 00:00Z');
CREATE TABLE audit_log_2032 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2032-01-01 00:00Z') TO ('2033-01-01 00:00Z');
CREATE TABLE audit_log_2033 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2033-01-01 00:00Z') TO ('2034-01-01 00:00Z');
CREATE TABLE audit_log_2034 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2034-01-01 00:00Z') TO ('2035-01-01 00:00Z');
CREATE TABLE audit_log_2035 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2035-01-01 00:00Z') TO ('2036-01-01 00:00Z');
CREATE TABLE audit_log_2036 PARTITION OF audit_log_ledger_partitioned FOR VALUES FROM ('2036-01-01 00:00Z') TO ('2037-01-01 00:00Z');
CREATE TABLE audit_log_default PARTITION OF audit_log_ledger_partitioned DEFAULT;

-- Runs as the owner: the application may not write the new table yet.
CREATE FUNCTION audit_copy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_log_ledger_partitioned SELECT NEW.* ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION audit_copy() FROM PUBLIC;
CREATE TRIGGER audit_copy AFTER INSERT ON audit_log_ledger FOR EACH ROW EXECUTE FUNCTION audit_copy();
