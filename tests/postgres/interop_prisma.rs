//! Prisma's own engine beside Sluice: a project that both run, and what each says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use sqlx::Row;

use crate::server::{Database, Server};

pub const EXAMPLE: &str = "deploy/examples/medical-records/migrations";
pub const INITIAL: &str = "20240215120000_initial_schema";
pub const PREFERRED_NAME: &str = "20240216140000_add_patient_preferred_name";
pub const LANGUAGE: &str = "20240301090000_add_patient_language";
pub const ADD_LANGUAGE: &str = "ALTER TABLE \"patients\" ADD COLUMN \"language\" varchar(35);\n";

/// Two ways to run Prisma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prisma {
    Tool6,
    Engine7,
}

/// A team's folder of migrations and its database.
pub struct Project {
    pub database: Database,
    pub root: tempfile::TempDir,
}

/// What a program answered.
#[derive(Debug)]
pub struct Answer {
    pub succeeded: bool,
    pub text: String,
}

impl Project {
    /// A copy of the example, and an empty database.
    pub async fn new(name: &str) -> Self {
        let project = Self {
            database: Server::get().database(name).await,
            root: tempfile::tempdir().expect("a temporary folder"),
        };
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLE);
        fs::create_dir(project.folder()).expect("makes the folder");
        fs::copy(example.join("migration_lock.toml"), project.folder().join("migration_lock.toml"))
            .expect("copies the lock file");
        for migration in [INITIAL, PREFERRED_NAME] {
            project.write(
                migration,
                &fs::read_to_string(example.join(migration).join("migration.sql"))
                    .expect("the example is there"),
            );
        }
        project
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("migrations")
    }

    pub fn write(&self, migration: &str, sql: &str) {
        fs::create_dir_all(self.folder().join(migration)).expect("makes the folder");
        fs::write(self.folder().join(migration).join("migration.sql"), sql).expect("writes the migration");
    }

    pub fn read(&self, migration: &str) -> String {
        fs::read_to_string(self.folder().join(migration).join("migration.sql"))
            .expect("the migration is there")
    }

    pub fn remove(&self, migration: &str) {
        fs::remove_dir_all(self.folder().join(migration)).expect("removes the migration");
    }

    pub fn prisma(&self, mode: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/prisma"));
        command.args([mode, &self.database.url]).arg(self.folder()).args(arguments);
        command
    }

    pub fn tool(&self, arguments: &[&str]) -> Answer {
        answer(
            &self
                .prisma("cli", &[&["migrate"], arguments].concat())
                .output()
                .expect("tests/interop/prisma runs"),
        )
    }

    pub fn engine(&self, arguments: &[&str]) -> Answer {
        answer(&self.prisma("engine", arguments).output().expect("tests/interop/prisma runs"))
    }

    /// Applies what is pending, as a team would that does not know Sluice.
    pub fn deploy(&self, prisma: Prisma) -> Answer {
        match prisma {
            Prisma::Tool6 => self.tool(&["deploy"]),
            Prisma::Engine7 => self.engine(&["apply"]),
        }
    }

    /// The newest engine's opinion of the history.
    pub fn diagnose(&self) -> Value {
        let answer = self.engine(&["diagnose"]).expect_success();
        serde_json::from_str(&answer.text).unwrap_or_else(|error| unreadable(&error, &answer.text))
    }

    /// Both generations say that there is nothing to do and nothing wrong.
    pub fn both_prismas_agree(&self) {
        let status = self.tool(&["status"]).expect_success();
        assert!(status.text.contains("Database schema is up to date!"), "{}", status.text);
        let deploy = self.tool(&["deploy"]).expect_success();
        assert!(deploy.text.contains("No pending migrations to apply."), "{}", deploy.text);
        self.prisma_agrees();
    }

    /// The newest engine, which tells most, says that there is nothing to do and nothing wrong.
    pub fn prisma_agrees(&self) {
        assert_eq!(
            self.diagnose(),
            serde_json::json!({"editedMigrationNames": [], "failedMigrationNames": [], "hasMigrationsTable": true, "history": null})
        );
    }

    /// `sluice run`, with the given lines in the section `migrations`.
    pub fn sluice_command(&self, migrations: &str) -> Command {
        let manifest = self.root.path().join("migration.yaml");
        let text = format!(
            "apiVersion: sluice.dev/v1alpha1\nkind: DatabaseMigration\nmetadata: {{name: records, namespace: \
                medical}}\nspec:\n  \
             database: {{secretRef: {{name: records-db}}}}\n  migrations:\n    configMaps: \
             [records-migrations]\n{migrations}\
             \n  snapshot: {{none: {{reason: the database is made for a test}}}}\n"
        );
        fs::write(&manifest, text).expect("writes the manifest");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["run", "--output", "json", "--file"]).arg(manifest).arg("--source").arg(self.folder());
        command.env("DATABASE_URL", &self.database.url);
        command
    }

    pub fn sluice(&self, migrations: &str) -> Status {
        Status::read(&self.sluice_command(migrations).output().expect("sluice runs"))
    }

    /// The history as both should write it. What differs by nature, identifiers and times, is reduced to its
    /// form.
    pub async fn history_table(&self) -> Vec<String> {
        let rows = sqlx::query(LEDGER)
            .fetch_all(&mut self.database.connect().await)
            .await
            .expect("reads the history");
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub async fn applied(&self) -> Vec<String> {
        let query = "select migration_name::text from _prisma_migrations where finished_at is not null and \
            rolled_back_at is null order by finished_at, 1";
        let rows = sqlx::query(query)
            .fetch_all(&mut self.database.connect().await)
            .await
            .expect("reads the history");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// `null` where a column is null, `form` where it has the one form that Prisma writes, else the value itself.
pub const LEDGER: &str = "
select concat_ws(' ', migration_name, checksum, 'steps=' || applied_steps_count, 'logs=' || case when logs \
is null then 'null' when logs = '' then 'empty' else 'text' end,
                 'id=' || case when id ~ \
                 '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' then 'form' else id \
                 end,
                 'started=' || case when date_trunc('milliseconds', started_at) = started_at and started_at \
                 <= now() then 'form' else started_at::text end,
                 'finished=' || case when finished_at is null then 'null'
                     when date_trunc('milliseconds', finished_at) = finished_at and finished_at >= \
                     started_at then 'form' else finished_at::text end,
                 'rolledback=' || case when rolled_back_at is null then 'null'
                     when date_trunc('milliseconds', rolled_back_at) = rolled_back_at and rolled_back_at >= \
                     started_at then 'form' else rolled_back_at::text end)
  from _prisma_migrations order by started_at, finished_at nulls first, migration_name";

/// Everything the catalog knows of the history's table.
pub const TABLE: &str = "
select string_agg(line, E'\\n' order by line) from (
    select concat_ws(' ', 'column', attnum, attname, format_type(atttypid, atttypmod), attnotnull, \
    pg_get_expr(adbin, adrelid), attstorage, attidentity, attgenerated)
      from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum where attrelid = \
      '_prisma_migrations'::regclass and attnum > 0
    union all select concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid)) from pg_constraint \
    where conrelid = '_prisma_migrations'::regclass
    union all select concat_ws(' ', 'index', pg_get_indexdef(indexrelid), indisprimary, indisunique) from \
    pg_index where indrelid = '_prisma_migrations'::regclass
    union all select concat_ws(' ', 'table', n.nspname, relkind, relpersistence, relrowsecurity, \
    relreplident, coalesce(relacl::text, 'no grants'), coalesce(array_to_string(reloptions, ','), 'no \
    options'))
      from pg_class c join pg_namespace n on n.oid = relnamespace where c.oid = '_prisma_migrations'::regclass
    union all select concat_ws(' ', 'trigger', tgname) from pg_trigger where tgrelid = \
    '_prisma_migrations'::regclass
) as described (line)";

impl Answer {
    pub fn expect_success(self) -> Self {
        assert!(self.succeeded, "{}", self.text);
        self
    }

    pub fn expect_failure(self) -> Self {
        assert!(!self.succeeded, "{}", self.text);
        self
    }
}

pub fn answer(output: &Output) -> Answer {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(3), "{stderr}");
    Answer {
        succeeded: output.status.success(),
        text: if output.status.success() { stdout.into_owned() } else { format!("{stdout}{stderr}") },
    }
}

/// Stands in for what was no JSON, so that the assertion that misses something shows it.
pub fn unreadable(error: &serde_json::Error, text: &str) -> Value {
    serde_json::json!({"unreadable": error.to_string(), "text": text})
}

/// What `sluice run` printed.
#[derive(Debug)]
pub struct Status {
    pub ready: bool,
    pub json: Value,
}

impl Status {
    pub fn read(output: &Output) -> Self {
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let json = serde_json::from_str(&stdout)
            .unwrap_or_else(|error| unreadable(&error, &format!("{stdout}\n{stderr}")));
        Self { ready: output.status.success(), json }
    }

    /// The reason and the message of a condition.
    pub fn condition(&self, name: &str) -> (&str, &str) {
        let conditions = self.json["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == name).unwrap_or(&Value::Null);
        (found["reason"].as_str().unwrap_or("absent"), found["message"].as_str().unwrap_or_default())
    }

    pub fn expect_ready(self) -> Self {
        assert!(self.ready, "{:#}", self.json);
        self
    }

    pub fn expect_reason(self, reason: &str) -> Self {
        assert_eq!(self.condition("Ready").0, reason, "{:#}", self.json);
        assert!(!self.ready, "{:#}", self.json);
        self
    }
}
