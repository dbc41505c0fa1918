//! A small product for the tests of checks: two clinics, three tenant tables and a partitioned one, and roles
//! as they should be.

use sluice::{
    api::{
        Finding, ForeignKeyIndexes, IndexVerification, Level, RequiredIndex, RowLevelSecurity, Severity,
        Tenant,
    },
    check,
    inspect::{Aspect, Scope},
    postgres::Transaction,
};
use sqlx::PgConnection;

use crate::server::{Database, Server, connect, execute};

/// Run by the superuser. `BYPASSRLS` as the documentation recommends for the role that takes snapshots and
/// migrates data.
const ROLES: &str = "
    CREATE ROLE {migrator} LOGIN BYPASSRLS;
    CREATE ROLE {app} LOGIN;
    GRANT {app} TO {migrator};
    ALTER DATABASE {database} OWNER TO {migrator};
    ALTER SCHEMA public OWNER TO {migrator};";

/// Run by the migration role.
const SCHEMA: &str = "
    CREATE TABLE clinics (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE);
    CREATE TABLE patients (
        clinic_id uuid NOT NULL REFERENCES clinics, id uuid NOT NULL DEFAULT gen_random_uuid(),
        full_name varchar(40) NOT NULL, born date NOT NULL CHECK (born <= current_date),
        PRIMARY KEY (clinic_id, id));
    CREATE TABLE visits (
        clinic_id uuid NOT NULL REFERENCES clinics, id bigint GENERATED ALWAYS AS IDENTITY, patient_id uuid \
        NOT NULL,
        status text NOT NULL CHECK (status IN ('open', 'closed')),
        starts_at timestamptz NOT NULL, ends_at timestamptz NOT NULL CHECK (starts_at < ends_at),
        PRIMARY KEY (clinic_id, id),
        FOREIGN KEY (clinic_id, patient_id) REFERENCES patients (clinic_id, id));
    CREATE INDEX visits_patient ON visits (clinic_id, patient_id);
    CREATE INDEX visits_open ON visits (clinic_id, starts_at DESC) WHERE status = 'open';
    CREATE TABLE access_log (clinic_id uuid NOT NULL, at timestamptz NOT NULL DEFAULT now(), what text NOT \
    NULL) PARTITION BY RANGE (at);
    CREATE TABLE access_log_old PARTITION OF access_log FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
    CREATE TABLE access_log_new PARTITION OF access_log FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
    CREATE INDEX access_log_tenant ON access_log (clinic_id, at);
    DO $$ DECLARE t text; BEGIN
      FOREACH t IN ARRAY ARRAY['patients', 'visits', 'access_log'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I USING (clinic_id = (SELECT \
        NULLIF(current_setting(''app.clinic_id'', true), '''')::uuid))', t);
      END LOOP;
    END $$;
    GRANT SELECT, INSERT, UPDATE, DELETE ON patients, visits TO {app};
    GRANT SELECT, INSERT ON access_log TO {app};
    GRANT SELECT ON clinics TO {app};";

/// Two clinics with a patient, a visit and a line in the log each.
const ROWS: &str = "
    WITH c AS (INSERT INTO clinics (name) VALUES ('north'), ('south') RETURNING id),
         p AS (INSERT INTO patients (clinic_id, full_name, born) SELECT id, 'somebody', '1980-01-01' FROM c \
         RETURNING clinic_id, id),
         v AS (INSERT INTO visits (clinic_id, patient_id, status, starts_at, ends_at) SELECT clinic_id, id, \
         'open', now(), now() + interval '1 hour' FROM p)
    INSERT INTO access_log (clinic_id, what) SELECT id, 'looked' FROM c;";

/// What the verify stage asks.
pub const EVERY_ASPECT: [Aspect; 4] = [Aspect::Isolation, Aspect::Index, Aspect::Structure, Aspect::Data];

/// A database with the product in it.
pub struct Clinic {
    database: Database,
    pub app: String,
    pub migrator: String,
    pub scope: Scope,
}

impl Clinic {
    /// As on the first day: no rows.
    pub async fn empty(test: &str) -> Self {
        let database = Server::get().database(test).await;
        let (app, migrator) = (format!("{}_app", database.name), format!("{}_migrator", database.name));
        let scope = scope(&app);
        let clinic = Self { database, app, migrator, scope };
        clinic.as_superuser(ROLES).await;
        clinic.migrate(SCHEMA).await;
        clinic
    }

    /// With rows of two clinics.
    pub async fn with_rows(test: &str) -> Self {
        let clinic = Self::empty(test).await;
        clinic.migrate(ROWS).await;
        clinic
    }

    /// A script's names of roles and of the database filled in.
    pub fn text(&self, script: &str) -> String {
        script
            .replace("{app}", &self.app)
            .replace("{migrator}", &self.migrator)
            .replace("{database}", &self.database.name)
    }

    /// Runs a script as the migration role and commits it.
    pub async fn migrate(&self, script: &str) {
        execute(&mut self.session().await, &self.text(script)).await;
    }

    /// Runs a script as the superuser and commits it.
    pub async fn as_superuser(&self, script: &str) {
        self.database.execute(&self.text(script)).await;
    }

    /// A session of the migration role.
    pub async fn session(&self) -> PgConnection {
        connect(&self.database.url_as(&self.migrator)).await
    }

    /// A session in which the application has logged in.
    pub async fn session_of_the_application(&self) -> PgConnection {
        connect(&self.database.url_as(&self.app)).await
    }

    /// For the superuser.
    pub fn url(&self) -> &str {
        &self.database.url
    }

    /// A session of the superuser.
    pub async fn superuser_session(&self) -> PgConnection {
        self.database.connect().await
    }

    /// Every finding, in a session of its own, as the verify stage asks.
    pub async fn findings(&self) -> Vec<Finding> {
        let mut session = self.session().await;
        execute(&mut session, "BEGIN").await;
        let found = self.findings_in(&mut session).await;
        execute(&mut session, "ROLLBACK").await;
        found
    }

    /// Every finding, inside the transaction that the session has open.
    pub async fn findings_in(&self, session: &mut PgConnection) -> Vec<Finding> {
        let mut transaction = Transaction::of_open(session).await.expect("an open transaction");
        check::run(&mut transaction, &self.scope, &EVERY_ASPECT).await.expect("the checks can be carried out")
    }

    /// The findings of one check.
    pub async fn findings_of(&self, check: &str) -> Vec<Finding> {
        self.findings().await.into_iter().filter(|finding| finding.check.name() == check).collect()
    }

    /// Asserts that nothing at all is found.
    pub async fn assert_clean(&self) {
        let found = self.findings().await;
        assert!(found.is_empty(), "{found:#?}");
    }

    /// Asserts that a check finds exactly one thing, of this severity, about this object, whose message has
    /// this part.
    pub async fn assert_one(&self, check: &str, severity: Severity, object: &str, part: &str) {
        let found = self.findings_of(check).await;
        let part = self.text(part);
        let object = self.text(object);
        let fits = |finding: &Finding| {
            finding.severity == severity && finding.object == object && finding.message.contains(&part)
        };
        assert!(
            found.len() == 1 && fits(&found[0]),
            "not one {severity:?} of {check} on {object:?} with {part:?}: {found:#?}"
        );
    }
}

fn scope(app: &str) -> Scope {
    let tenant = Tenant { column: "clinic_id".into(), setting: "app.clinic_id".into() };
    Scope {
        schemas: vec!["public".into()],
        row_level_security: Some(RowLevelSecurity {
            app_role: app.into(),
            tenant,
            ..RowLevelSecurity::default()
        }),
        indexes: IndexVerification {
            foreign_keys: ForeignKeyIndexes { level: Level::Error, ..ForeignKeyIndexes::default() },
            require: vec![required("visits", &["clinic_id", "starts_at DESC"], Some("status = 'open'"))],
            ..IndexVerification::default()
        },
        ..Scope::default()
    }
}

/// A requirement for an index of any name, unique or not.
pub fn required(table: &str, columns: &[&str], predicate: Option<&str>) -> RequiredIndex {
    RequiredIndex {
        table: table.into(),
        columns: columns.iter().map(ToString::to_string).collect(),
        unique: None,
        method: None,
        predicate: predicate.map(str::to_owned),
        name: None,
    }
}
