//! What the scenarios of the migration engine share: a database that an ordinary role owns, a folder of
//! migrations, a manifest.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    future::Future,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use sluice::{
    api::{DatabaseMigration, Reason},
    contract::{Outcome, Stage, Verdict},
    stage::{self, Context},
    validate::validate,
};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::server::{Database, Server, connect, execute};

/// How long a test waits for something that must happen.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// One database, one folder of migrations, one manifest.
pub struct Scene {
    pub database: Database,
    pub folder: tempfile::TempDir,
    /// Of the role that migrates: it owns the database and is no superuser.
    pub url: String,
    pub role: String,
    /// How long the migrate stage waits for locks.
    pub patience: Duration,
    sections: BTreeMap<&'static str, String>,
}

impl Scene {
    /// A database without tables, and these migrations.
    pub async fn new(test: &str, files: &[(&str, &str)]) -> Self {
        Self::on(Server::get(), test, files).await
    }

    /// The same on another server.
    pub async fn on(server: &Server, test: &str, files: &[(&str, &str)]) -> Self {
        let database = server.database(test).await;
        let role = format!("migrator_of_{}", database.name);
        let name = &database.name;
        let grants = format!(
            "CREATE ROLE {role} LOGIN; ALTER DATABASE {name} OWNER TO {role}; ALTER SCHEMA public OWNER TO \
                {role}"
        );
        execute(&mut connect(&database.url).await, &grants).await;
        let sections = [
            ("database", "{secretRef: {name: records-db}}"),
            ("migrations", "{configMaps: [records]}"),
            ("snapshot", "{none: {reason: a database of a test}}"),
        ];
        let scene = Self {
            url: server.url(&role, name),
            role,
            database,
            folder: tempfile::tempdir().expect("a temporary folder"),
            patience: Duration::from_secs(10),
            sections: sections.map(|(name, text)| (name, text.to_owned())).into(),
        };
        fs::create_dir(scene.source()).expect("a folder of migrations");
        for (name, sql) in files {
            scene.write(name, sql);
        }
        scene
    }

    /// Sets a section of the manifest, in YAML.
    pub fn with(mut self, section: &'static str, yaml: &str) -> Self {
        self.set(section, yaml);
        self
    }

    pub fn set(&mut self, section: &'static str, yaml: &str) {
        self.sections.insert(section, yaml.to_owned());
    }

    pub fn source(&self) -> PathBuf {
        self.folder.path().join("migrations")
    }

    /// Writes a migration in Prisma's layout.
    pub fn write(&self, name: &str, sql: &str) {
        let folder = self.source().join(name);
        fs::create_dir_all(&folder).expect("a folder of a migration");
        fs::write(folder.join("migration.sql"), sql).expect("a file of a migration");
    }

    pub fn remove(&self, name: &str) {
        fs::remove_dir_all(self.source().join(name)).expect("the migration was there");
    }

    pub fn manifest(&self) -> String {
        let head = "apiVersion: sluice.dev/v1alpha1\nkind: DatabaseMigration\nmetadata: {name: records, \
            namespace: medical}\nspec:\n";
        self.sections.iter().fold(head.to_owned(), |mut text, (name, yaml)| {
            writeln!(text, "  {name}: {yaml}").expect("a String takes every text");
            text
        })
    }

    pub fn context(&self) -> Context {
        let object: DatabaseMigration =
            serde_saphyr::from_str(&self.manifest()).expect("the manifest of a test reads");
        let manifest = validate(&object).expect("the manifest of a test is valid");
        let mut context =
            Context::new(manifest, &self.url, self.source(), self.folder.path().join("snapshots"));
        context.patience = self.patience;
        context
    }

    /// Every stage in turn, until one does not pass.
    pub async fn run(&self) -> Vec<Outcome> {
        run_all(&self.context()).await
    }

    /// Runs, and everything must pass.
    pub async fn ready(&self) -> Vec<Outcome> {
        let outcomes = self.run().await;
        let last = outcomes.last().expect("at least one stage");
        assert_eq!(last.verdict, Verdict::Passed, "{:?}: {}", last.reason, last.message);
        outcomes
    }

    /// Runs, and this stage must end it for this reason.
    pub async fn stopped(&self, stage: Stage, reason: Reason) -> Outcome {
        let outcomes = self.run().await;
        let last = outcomes.into_iter().next_back().expect("at least one stage");
        assert_eq!(
            (last.stage, last.reason, last.verdict),
            (stage, reason, Verdict::Failed),
            "{}",
            last.message
        );
        last
    }

    /// The binary with the arguments that `run` and `plan` share, and the URL in the environment.
    pub fn command(&self, verb: &str) -> Command {
        let manifest = self.folder.path().join("manifest.yaml");
        fs::write(&manifest, self.manifest()).expect("writes the manifest");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.arg(verb).arg("-f").arg(manifest).arg("--source").arg(self.source());
        command.arg("--snapshot-dir").arg(self.folder.path().join("snapshots"));
        command.env("DATABASE_URL", &self.url).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// One value, as text, asked by the superuser.
    pub async fn value(&self, sql: &str) -> String {
        value(&mut self.database.connect().await, sql).await
    }

    /// The history: one line per row, oldest first.
    /// Whether a session of this scene's own database waits for the advisory lock `key`, by which a test holds a
    /// migration in its middle. Other tests hold theirs with the same number in databases of their own.
    pub async fn waits_at(&self, key: u32) -> bool {
        let sql = format!(
            "SELECT (count(*) > 0)::text FROM pg_locks WHERE locktype = 'advisory' AND objid = {key} AND NOT \
                granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        self.value(&sql).await == "true"
    }

    pub async fn history_table(&self) -> Vec<String> {
        self.history_in("public._prisma_migrations").await
    }

    pub async fn history_in(&self, table: &str) -> Vec<String> {
        let sql = format!(
            "SELECT migration_name || CASE WHEN rolled_back_at IS NOT NULL THEN ' rolled back' WHEN \
                finished_at IS NULL THEN ' unfinished' \
             ELSE ' applied' END FROM {table} ORDER BY started_at, migration_name"
        );
        self.column(&sql).await
    }

    /// One column, as text, asked by the superuser.
    pub async fn column(&self, sql: &str) -> Vec<String> {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.database.connect().await).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}\nin {sql}"));
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    }

    /// Everything in the catalog that is not PostgreSQL's own, one line per thing.
    pub async fn catalog(&self) -> Vec<String> {
        self.column(CATALOG).await
    }

    /// How many sessions of Sluice's are on this database.
    pub async fn sessions(&self) -> String {
        let sql = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE application_name LIKE 'sluice%' AND datname = \
                '{}'",
            self.database.name
        );
        self.value(&sql).await
    }
}

pub const CATALOG: &str = "
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL SELECT concat_ws(' ', 'relation', c.oid::regclass, c.relkind, c.relrowsecurity, \
c.relforcerowsecurity, c.relacl::text,
    (SELECT string_agg(a.attname || ':' || a.atttypid::regtype || ':' || a.attnotnull, ',' ORDER BY attnum) \
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0))
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^pg_' AND nspname <> \
  'information_schema'
UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN \
pg_namespace n ON n.oid = connamespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL SELECT 'policy ' || policyname || ' ' || tablename FROM pg_policies
UNION ALL SELECT 'index ' || indexrelid::regclass || ' ' || indisvalid FROM pg_index i JOIN pg_class c ON \
c.oid = indexrelid
  JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^pg_'
UNION ALL SELECT 'type ' || t.oid::regtype || coalesce((SELECT string_agg(enumlabel, ',' ORDER BY \
enumsortorder) FROM pg_enum WHERE enumtypid = t.oid), '')
  FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE nspname !~ '^pg_' AND nspname <> \
  'information_schema'
UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
ORDER BY 1";

/// Plan and snapshot: what the stage `migrate` stands on.
pub async fn planned(context: &Context) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for stage in [Stage::Plan, Stage::Snapshot] {
        outcomes.push(stage::run(stage, context, &outcomes).await);
    }
    outcomes
}

/// Every stage in turn, until one does not pass.
pub async fn run_all(context: &Context) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for stage in context.leg.stages() {
        outcomes.push(stage::run(stage, context, &outcomes).await);
        if outcomes.last().is_some_and(|outcome| outcome.verdict != Verdict::Passed) {
            break;
        }
    }
    outcomes
}

/// One value, as text.
pub async fn value(connection: &mut PgConnection, sql: &str) -> String {
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await;
    row.unwrap_or_else(|error| panic!("{error}\nin {sql}")).get::<Option<String>, _>(0).unwrap_or_default()
}

/// A session that has run a script, for instance `BEGIN; LOCK …`, and stays as it is until it is dropped.
pub async fn session(url: &str, application: &str, script: &str) -> PgConnection {
    let mut connection = connect(&format!("{url}&application_name={application}")).await;
    execute(&mut connection, script).await;
    connection
}

/// Waits until a condition holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {} s: {what}", DEADLINE.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A transaction whose snapshot CONCURRENTLY waits for, in a database with a table `other` that nothing changes.
pub async fn old_snapshot(scene: &Scene) -> PgConnection {
    session(&scene.database.url, "nightly-report", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other")
        .await
}

/// Whether a session of Sluice's waits for older transactions in the middle of CONCURRENTLY.
pub async fn waits_within_concurrently(scene: &Scene) -> bool {
    let sql = format!(
        "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE \
            'sluice%' AND wait_event = 'virtualxid'",
        scene.database.name
    );
    scene.value(&sql).await == "true"
}

/// A transaction that a build waits for in its middle. One that is older the build waits for before it begins, so
/// this one begins when it does that, and then the older one ends.
pub async fn snapshot_within_concurrently(scene: &Scene, older: PgConnection) -> PgConnection {
    let waits = "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE datname = current_database() AND \
        application_name LIKE 'sluice% watcher' AND query LIKE '%EXISTS%virtualtransaction = $2%'";
    until("the build waits before it begins", || async { scene.value(waits).await == "true" }).await;
    let within = old_snapshot(scene).await;
    drop(older);
    until("the build waits in its middle", || waits_within_concurrently(scene)).await;
    within
}

/// Runs a command to its end, within the deadline.
pub async fn finish(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output().expect("the command starts"));
    tokio::time::timeout(DEADLINE, output)
        .await
        .expect("the command ends in time")
        .expect("its output is read")
}

/// What a command printed, both streams.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
