-- Version 1.0.0: seventeen tables of one care facility. No tenants, hence no row-level security. What protects people here
-- is that the log of medication is never in the way and that the audit ledger is never rewritten.

CREATE TABLE rooms (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    number     varchar(10) NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Staff.
CREATE TABLE users (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    email      varchar(255) NOT NULL UNIQUE,
    full_name  varchar(200) NOT NULL,
    role       varchar(20)  NOT NULL CHECK (role IN ('admin', 'nurse', 'caregiver', 'doctor')),
    created_at timestamptz  NOT NULL DEFAULT now()
);

CREATE TABLE residents (
    id                     uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    room_id                uuid         REFERENCES rooms (id) ON DELETE SET NULL,
    first_name             varchar(100) NOT NULL,
    last_name              varchar(100) NOT NULL,
    date_of_birth          date         NOT NULL,
    care_level_pflegegrad  smallint     NOT NULL CHECK (care_level_pflegegrad BETWEEN 1 AND 5),
    created_at             timestamptz  NOT NULL DEFAULT now()
);
CREATE INDEX idx_residents_room_id ON residents (room_id);

CREATE TABLE resident_contacts (
    id          uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    resident_id uuid         NOT NULL REFERENCES residents (id),
    full_name   varchar(200) NOT NULL,
    phone       varchar(30)  NOT NULL
);
CREATE INDEX idx_resident_contacts_resident_id ON resident_contacts (resident_id);

CREATE TABLE shifts (
    id        uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    starts_at timestamptz NOT NULL,
    ends_at   timestamptz NOT NULL,
    CHECK (starts_at < ends_at)
);

CREATE TABLE shift_assignments (
    shift_id uuid NOT NULL REFERENCES shifts (id) ON DELETE CASCADE,
    user_id  uuid NOT NULL REFERENCES users (id),
    PRIMARY KEY (shift_id, user_id)
);
CREATE INDEX idx_shift_assignments_user_id ON shift_assignments (user_id);

CREATE TABLE medications (
    id         uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    name       varchar(200) NOT NULL,
    strength   varchar(50)  NOT NULL,
    UNIQUE (name, strength)
);

CREATE TABLE medication_orders (
    id            uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    resident_id   uuid        NOT NULL REFERENCES residents (id),
    medication_id uuid        NOT NULL REFERENCES medications (id),
    ordered_by    uuid        NOT NULL REFERENCES users (id),
    schedule      text        NOT NULL,
    ordered_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_medication_orders_resident_id ON medication_orders (resident_id);
CREATE INDEX idx_medication_orders_medication_id ON medication_orders (medication_id);
CREATE INDEX idx_medication_orders_ordered_by ON medication_orders (ordered_by);

-- The table that must never wait: 847,600 rows and growing. Its key to residents comes later, in two steps.
CREATE TABLE medication_logs (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resident_id     uuid        NOT NULL,
    order_id        uuid        REFERENCES medication_orders (id),
    administered_by uuid        NOT NULL REFERENCES users (id),
    administered_at timestamptz NOT NULL DEFAULT now(),
    note            text
);
CREATE INDEX idx_medication_logs_resident_id_administered_at ON medication_logs (resident_id, administered_at DESC);
CREATE INDEX idx_medication_logs_order_id ON medication_logs (order_id);
CREATE INDEX idx_medication_logs_administered_by ON medication_logs (administered_by);

CREATE TABLE care_plans (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    resident_id uuid NOT NULL REFERENCES residents (id),
    valid_from  date NOT NULL,
    goal        text NOT NULL
);
CREATE INDEX idx_care_plans_resident_id ON care_plans (resident_id);

CREATE TABLE care_tasks (
    id           uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    care_plan_id uuid         NOT NULL REFERENCES care_plans (id) ON DELETE CASCADE,
    title        varchar(200) NOT NULL,
    due_at       timestamptz
);
CREATE INDEX idx_care_tasks_care_plan_id ON care_tasks (care_plan_id);

CREATE TABLE care_reports (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    resident_id uuid        NOT NULL REFERENCES residents (id),
    user_id     uuid        NOT NULL REFERENCES users (id),
    body        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_care_reports_resident_id ON care_reports (resident_id);
CREATE INDEX idx_care_reports_user_id ON care_reports (user_id);

CREATE TABLE vital_signs (
    id          bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resident_id uuid         NOT NULL REFERENCES residents (id),
    pulse       smallint,
    temperature numeric(4, 1),
    measured_at timestamptz  NOT NULL DEFAULT now()
);
CREATE INDEX idx_vital_signs_resident_id_measured_at ON vital_signs (resident_id, measured_at DESC);

CREATE TABLE incidents (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    resident_id uuid        REFERENCES residents (id),
    reported_by uuid        NOT NULL REFERENCES users (id),
    description text        NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_incidents_resident_id ON incidents (resident_id);
CREATE INDEX idx_incidents_reported_by ON incidents (reported_by);

CREATE TABLE documents (
    id          uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    resident_id uuid         NOT NULL REFERENCES residents (id),
    title       varchar(200) NOT NULL,
    content     bytea        NOT NULL,
    created_at  timestamptz  NOT NULL DEFAULT now()
);
CREATE INDEX idx_documents_resident_id ON documents (resident_id);

-- Kept for ten years. Each row holds the hash of the one before it, so a change in the middle breaks the chain.
CREATE TABLE audit_log_ledger (
    id              bigint       PRIMARY KEY,
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
    hash            text
);

-- For people, in words; what decides is the history that Sluice and Prisma share.
CREATE TABLE schema_migrations (
    version     varchar(50) PRIMARY KEY,
    description text,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO schema_migrations (version, description) VALUES ('1.0.0', 'Seventeen tables');

-- What a row's hash covers. Times as microseconds, so that no session's time zone changes it.
CREATE FUNCTION audit_hash(entry audit_log_ledger) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(concat_ws('|', entry.id, entry.user_id, entry.user_role, entry.action, entry.resource_type,
        entry.resource_id, entry.current_state, entry.ip_address, entry.event_type,
        (extract(epoch FROM entry.event_timestamp) * 1000000)::bigint, COALESCE(entry.previous_hash, '')), 'UTF8')), 'hex')
$$;

-- One writer at a time, and the number is given under the lock: two that read the same last row would fork the chain.
CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last_id   bigint;
    last_hash text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_log_ledger'));
    SELECT l.id, l.hash INTO last_id, last_hash FROM audit_log_ledger l ORDER BY l.id DESC LIMIT 1;
    NEW.id := COALESCE(last_id, 0) + 1;
    NEW.previous_hash := last_hash;
    NEW.hash := audit_hash(NEW);
    RETURN NEW;
END $$;
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log_ledger is append-only: % is not allowed', TG_OP;
END $$;
CREATE TRIGGER audit_chain BEFORE INSERT ON audit_log_ledger FOR EACH ROW EXECUTE FUNCTION audit_chain();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();

-- Every row with what it should be. The first link of the chain has nothing before it.
CREATE FUNCTION verify_audit_chain() RETURNS TABLE (id bigint, is_valid boolean) LANGUAGE sql STABLE AS $$
    SELECT l.id, l.hash = audit_hash(l) AND l.previous_hash IS NOT DISTINCT FROM lag(l.hash) OVER (ORDER BY l.id)
    FROM audit_log_ledger l
$$;

-- What the application does, and no more: nobody but the owner can change a ledger row, and the trigger stops the owner too.
GRANT SELECT, INSERT, UPDATE, DELETE ON rooms, users, residents, resident_contacts, shifts, shift_assignments, medications,
    medication_orders, care_plans, care_tasks, care_reports, incidents, documents TO elderly_care_app;
GRANT SELECT, INSERT, UPDATE ON medication_logs, vital_signs TO elderly_care_app;
GRANT SELECT, INSERT ON audit_log_ledger TO elderly_care_app;
GRANT SELECT ON schema_migrations TO elderly_care_app;
