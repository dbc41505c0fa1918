//! An example of `deploy/examples` on a database of its own. Roles belong to the server, so each copy has
//! roles of its own: their names in the copied files are replaced by names that begin like the database's.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use sluice::{
    api::{Finding, Severity},
    contract::{Outcome, Verdict},
    policy,
    stage::Context,
    validate::{Assertions, SnapshotPolicy, validate},
};

use crate::{
    server::{Database, Server, connect, execute},
    stage_scene::{CATALOG, finish, run_all, said, value},
};

/// One database of an example.
#[derive(Debug)]
pub struct Platform {
    /// The folder of its `migration.yaml`, under `deploy/examples`.
    pub folder: &'static str,
    /// What the names of its roles begin with; empty where the example has none and the superuser migrates.
    pub prefix: &'static str,
    /// Tables without partitions, indexes without primary keys, foreign keys, enums, all without the ledger.
    pub counts: [u32; 4],
    /// The other database that its manifest reads, and its name there.
    pub reads: Option<(&'static str, &'static Platform)>,
}

/// A copy of a platform's files, and a database with its roles.
pub struct Stand {
    pub platform: &'static Platform,
    pub database: Database,
    /// Of the role that migrates.
    pub url: String,
    files: tempfile::TempDir,
    /// The other database that its manifest reads, by its name there.
    pub neighbour: Option<(&'static str, Box<Stand>)>,
}

/// A migration that must be refused, and what its first line promises.
#[derive(Debug)]
pub struct Broken {
    pub name: String,
    reason: String,
    /// A check and its object, or texts of which the message has one.
    said: Said,
}

#[derive(Debug)]
enum Said {
    Finding { check: String, object: String },
    Message(Vec<String>),
}

const POLICY: &str = "policy.yaml";

/// The folder of the examples.
pub fn examples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples"))
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the folders in a folder, sorted.
pub fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).flatten();
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

impl Platform {
    pub fn path(&self) -> std::path::PathBuf {
        examples().join(self.folder)
    }

    /// The policy that the eight services share.
    fn policy(&self) -> Option<std::path::PathBuf> {
        Some(self.path().join("../..").join(POLICY)).filter(|path| path.exists())
    }

    /// The script that the administrator runs, for this one database.
    fn roles(&self, database: &str) -> String {
        if self.prefix.is_empty() {
            return String::new();
        }
        let own = self.path().join("roles.sql");
        if own.exists() {
            return read(&own);
        }
        // The eight share one script. The database is there already.
        let script = read(&self.path().join("../../databases.sql"));
        let about = |line: &&str| {
            line.contains(&format!("{}_", self.prefix)) || line.contains(&format!("{} ", self.prefix))
        };
        let lines: Vec<_> =
            script.lines().filter(about).filter(|line| !line.starts_with("CREATE DATABASE")).collect();
        let owner = format!("ALTER DATABASE {database} OWNER TO {}_migrator;", self.prefix);
        format!("{}\n{owner}", lines.join("\n"))
            .replace(&format!("DATABASE {} ", self.prefix), &format!("DATABASE {database} "))
    }
}

impl Stand {
    pub async fn new(platform: &'static Platform, test: &str) -> Self {
        let database = Server::get().database(&format!("{}_{test}", platform.prefix)).await;
        let files = tempfile::tempdir().expect("a temporary folder");
        let migrator = if platform.prefix.is_empty() {
            "postgres".to_owned()
        } else {
            format!("{}_migrator", database.name)
        };
        let neighbour = match platform.reads {
            Some((name, other)) => {
                let other = Box::pin(Self::new(other, &format!("{test}_{name}"))).await;
                other.ready(None).await;
                Some((name, Box::new(other)))
            }
            None => None,
        };
        let stand = Self { platform, url: database.url_as(&migrator), database, files, neighbour };
        stand.copy(&platform.path(), stand.files.path());
        if let Some(policy) = platform.policy() {
            fs::write(stand.file(POLICY), read(&policy)).expect("writes");
        }
        let roles = platform.roles(&stand.database.name);
        stand.database.execute(&stand.own(&roles)).await;
        stand
    }

    /// The role that migrates.
    pub fn role(&self) -> String {
        if self.platform.prefix.is_empty() {
            "postgres".to_owned()
        } else {
            format!("{}_migrator", self.database.name)
        }
    }

    /// A text of the example with the names of this copy's roles.
    pub fn own(&self, text: &str) -> String {
        if self.platform.prefix.is_empty() {
            return text.to_owned();
        }
        ["app", "migrator", "backup", "reader"].iter().fold(text.to_owned(), |text, role| {
            text.replace(
                &format!("{}_{role}", self.platform.prefix),
                &format!("{}_{role}", self.database.name),
            )
        })
    }

    fn copy(&self, from: &Path, to: &Path) {
        for entry in fs::read_dir(from).expect("a folder of the example").flatten() {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                fs::create_dir(&target).expect("a folder");
                self.copy(&entry.path(), &target);
            } else {
                fs::write(&target, self.own(&read(&entry.path()))).expect("writes");
            }
        }
    }

    /// A file of this copy.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.files.path().join(name)
    }

    /// The manifest as it stands, but without a snapshot, which `sluice run` below takes in earnest.
    pub fn context(&self, target: Option<&str>) -> Context {
        let yaml = |name: &str| -> Value { serde_saphyr::from_str(&read(&self.file(name))).expect("YAML") };
        let mut object = yaml("migration.yaml");
        let policy = self.platform.policy().map(|_| yaml(POLICY)["spec"].clone());
        object["spec"] = policy::in_force(&object["spec"], policy.as_ref());
        let object = serde_json::from_value(object).expect("the manifest of an example reads");
        let mut manifest = validate(&object).expect("the manifest of an example is valid");
        manifest.snapshot = SnapshotPolicy::Waived("a database of a test".to_owned());
        if let Some(target) = target {
            manifest.target = Some(target.to_owned());
        }
        let context = Context::new(manifest, &self.url, self.file("migrations"), self.file("snapshots"));
        context.with_elsewhere(|variable| {
            self.url_elsewhere().filter(|(known, _)| known == variable).map(|(_, url)| url)
        })
    }

    /// The variable of the environment that has the URL of the other database, and the URL.
    fn url_elsewhere(&self) -> Option<(String, String)> {
        let (name, other) = self.neighbour.as_ref()?;
        let reader = other.database.url_as(&format!("{}_reader", other.database.name));
        Some((format!("DATABASE_URL_{}", name.to_ascii_uppercase()), reader))
    }

    /// Every stage up to a migration, or as far as the manifest says; everything must pass, without an error
    /// among the findings.
    pub async fn ready(&self, target: Option<&str>) -> Vec<Outcome> {
        self.passes(&self.context(target)).await
    }

    /// An earlier release, whose manifest did not ask for indexes of later ones.
    pub async fn ready_earlier(&self, target: &str) {
        let mut context = self.context(Some(target));
        context.manifest.indexes.require.clear();
        context.manifest.assertions = Assertions::default();
        self.passes(&context).await;
    }

    async fn passes(&self, context: &Context) -> Vec<Outcome> {
        let outcomes = run_all(context).await;
        let last = outcomes.last().expect("at least one stage");
        assert_eq!(
            last.verdict,
            Verdict::Passed,
            "{}: {:?}: {}",
            self.platform.folder,
            last.reason,
            last.message
        );
        let errors: Vec<&Finding> = outcomes
            .iter()
            .flat_map(|outcome| &outcome.findings)
            .filter(|finding| finding.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", self.platform.folder);
        outcomes
    }

    /// A verb with a manifest of this copy, on its database.
    pub fn command(&self, verb: &str, manifest: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args([verb, "-f"]).arg(self.file(manifest)).arg("--source").arg(self.file("migrations"));
        command.arg("--snapshot-dir").arg(self.file("snapshots")).env("DATABASE_URL", &self.url);
        command.envs(self.url_elsewhere());
        if self.platform.policy().is_some() {
            command.arg("--policy").arg(self.file(POLICY));
        }
        command
    }

    /// `sluice run` as the README says it, with the manifest untouched and a snapshot; answers the status.
    pub async fn sluice_run(&self) -> Value {
        self.sluice_run_with("migration.yaml").await
    }

    /// The same with another manifest of this copy.
    pub async fn sluice_run_with(&self, manifest: &str) -> Value {
        let mut command = self.command("run", manifest);
        command.args(["-o", "json"]);
        let output = finish(command).await;
        assert!(output.status.success(), "{}: {}", self.platform.folder, said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Rows of `rows.sql`, where the example has some.
    pub async fn fill(&self) {
        if self.file("rows.sql").exists() {
            execute(&mut connect(&self.url).await, &read(&self.file("rows.sql"))).await;
        }
    }

    /// One value, as text, asked by the superuser.
    pub async fn value(&self, sql: &str) -> String {
        value(&mut self.database.connect().await, sql).await
    }

    /// Everything that a refused release must leave as it was: the catalog, what policies and defaults say,
    /// and the ledger.
    pub async fn everything(&self) -> String {
        let catalog = format!("SELECT string_agg(line, chr(10)) FROM ({CATALOG}) AS c(line)");
        let texts = "SELECT string_agg(line, chr(10) ORDER BY line) FROM (
            SELECT concat_ws(' ', tablename, policyname, qual, with_check) FROM pg_policies
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname !~ '^pg_'
            UNION ALL SELECT concat_ws(' ', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid)) FROM \
            pg_attrdef) AS t(line)";
        let history_table =
            "SELECT string_agg(l::text, chr(10) ORDER BY started_at, id) FROM _prisma_migrations AS l";
        format!(
            "{}\n{}\n{}",
            self.value(&catalog).await,
            self.value(texts).await,
            self.value(history_table).await
        )
    }

    /// As [`Platform::counts`] has them.
    pub async fn counts(&self) -> [u32; 4] {
        let ours = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'sluice') AND c.relname \
            <> '_prisma_migrations'";
        let tables = format!(
            "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {ours} AND relkind IN ('r', 'p') \
                AND NOT relispartition"
        );
        let indexes = format!(
            "pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE {ours} AND NOT indisprimary AND NOT relispartition"
        );
        let keys = format!(
            "pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = \
                c.relnamespace \
             WHERE {ours} AND contype = 'f' AND conparentid = 0"
        );
        let mut counts = [0; 4];
        for (count, from) in
            counts.iter_mut().zip([tables, indexes, keys, "pg_type t WHERE typtype = 'e'".to_owned()])
        {
            *count =
                self.value(&format!("SELECT count(*)::text FROM {from}")).await.parse().expect("a number");
        }
        counts
    }

    /// Lays a broken migration over the source, runs, and takes it away again.
    pub async fn run_with(&self, broken: &Broken) -> Outcome {
        let (place, kept) = (self.file("migrations").join(&broken.name), self.file("kept"));
        let replaced = place.exists();
        if replaced {
            fs::rename(&place, &kept).expect("sets the right one aside");
        }
        fs::create_dir(&place).expect("a folder of a migration");
        fs::copy(self.file("broken").join(&broken.name).join("migration.sql"), place.join("migration.sql"))
            .expect("copies");
        let mut context = self.context(None);
        // A release that needs a newer migration raises the target.
        if context.manifest.target.as_ref().is_some_and(|target| *target < broken.name) {
            context.manifest.target = Some(broken.name.clone());
        }
        let outcomes = run_all(&context).await;
        fs::remove_dir_all(&place).expect("removes the broken one");
        if replaced {
            fs::rename(&kept, &place).expect("puts the right one back");
        }
        outcomes.into_iter().next_back().expect("at least one stage")
    }
}

impl Broken {
    /// Every folder of `broken/`.
    pub fn all(platform: &Platform) -> Vec<Self> {
        let folder = platform.path().join("broken");
        if !folder.exists() {
            return Vec::new();
        }
        folders(&folder).into_iter().map(|name| Self::of(platform, name)).collect()
    }

    /// The line `-- Sluice must say: REASON, CHECK on OBJECT`, or `REASON, TEXT` with alternatives between
    /// bars.
    fn of(platform: &Platform, name: String) -> Self {
        let sql = read(&platform.path().join("broken").join(&name).join("migration.sql"));
        let line = sql.lines().find_map(|line| line.strip_prefix("-- Sluice must say: "));
        let line = line
            .unwrap_or_else(|| panic!("{}/broken/{name} does not say what Sluice must say", platform.folder));
        let (reason, text) = line.split_once(", ").unwrap_or_else(|| panic!("{name}: {line:?} has no comma"));
        let said = match text.split_once(" on ") {
            Some((check, object)) if !check.contains(' ') => {
                Said::Finding { check: check.to_owned(), object: object.to_owned() }
            }
            _ => Said::Message(text.split('|').map(str::to_owned).collect()),
        };
        Self { name, reason: reason.to_owned(), said }
    }

    /// The outcome is what the line promises.
    pub fn assert_said(&self, outcome: &Outcome) {
        assert_eq!(
            (outcome.verdict, outcome.reason.name()),
            (Verdict::Failed, self.reason.as_str()),
            "{}: {}",
            self.name,
            outcome.message
        );
        match &self.said {
            Said::Finding { check, object } => {
                let fits = |finding: &Finding| {
                    finding.severity == Severity::Error
                        && finding.check.name() == *check
                        && finding.object == *object
                        && !finding.remedy.is_empty()
                };
                assert!(
                    outcome.findings.iter().any(fits),
                    "{}: no {check} on {object}: {:#?}",
                    self.name,
                    outcome.findings
                );
            }
            Said::Message(texts) => {
                assert!(
                    texts.iter().any(|text| outcome.message.contains(text)),
                    "{}: none of {texts:?}: {}",
                    self.name,
                    outcome.message
                );
            }
        }
    }
}
