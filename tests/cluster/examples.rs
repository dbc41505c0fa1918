//! The folders of `deploy/examples`, applied as their README says: with nothing changed but where the images
//! are.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{ResourceExt, api::ListParams};
use tempfile::TempDir;

use crate::story::{Story, find};

/// What an example calls its things.
struct Names {
    folder: &'static str,
    namespace: &'static str,
    /// The DatabaseMigration.
    object: &'static str,
    /// The gated Deployment.
    app: &'static str,
    /// The Deployment of PostgreSQL.
    postgres: &'static str,
    database: &'static str,
}

/// A copy of an example, as a person who tries it has it, and the namespace that it makes.
struct Example {
    story: Story,
    names: Names,
    folder: TempDir,
    kustomization: String,
}

/// Runs a program; answers what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// An image that `make test-cluster` pushed.
pub fn image(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable}: run this with `make test-cluster`"))
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Example {
    async fn begin(names: Names) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = top().join("deploy/examples").join(names.folder);
        run("cp", &["-R", &format!("{}/.", source.display()), &folder.path().display().to_string()]);
        let kustomization =
            fs::read_to_string(source.join("kustomization.yaml")).expect("the example has one");
        Self { story: Story::with_its_own(names.namespace).await, names, folder, kustomization }
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    /// What `docker build` does with the example's Dockerfile and these folders, each into a folder of the
    /// image, and `docker push`; answers the reference.
    fn push(&self, tag: &str, folders: &[(&str, &str)]) -> String {
        let (root, layer) = (self.path(&format!("{tag}.root")), self.path(&format!("{tag}.tar")));
        fs::create_dir(&root).expect("a folder");
        for (folder, into) in folders {
            run("cp", &["-R", &self.path(folder), &format!("{root}/{into}")]);
        }
        run("tar", &["-C", &root, "-cf", &layer, "."]);
        let reference = format!("10.99.0.2:5000/{}-migrations:{tag}", self.names.folder);
        run(&top().join("tests/local-cluster/cluster").display().to_string(), &["image", &reference, &layer])
    }

    /// `kubectl apply -k`, after the images were named and perhaps a component added.
    fn apply(&self, images: &[(&str, &str)], components: &[&str]) {
        let mut text = format!("{}\nimages:\n", self.kustomization);
        let (postgres, app) = (image("POSTGRES_IMAGE"), image("APP_IMAGE"));
        for (name, reference) in [("postgres", postgres.as_str()), ("app", app.as_str())].iter().chain(images)
        {
            let (place, digest) = reference.split_once('@').expect("a digest");
            let (place, _) = place.rsplit_once(':').expect("a tag");
            writeln!(text, "  - {{name: {name}, newName: {place}, digest: {digest}}}")
                .expect("a String takes every text");
        }
        writeln!(text, "components: {components:?}").expect("a String takes every text");
        fs::write(self.folder.path().join("kustomization.yaml"), text).expect("writes");
        run("kubectl", &["apply", "-k", &self.path("")]);
    }

    /// A value from the database of the example.
    fn sql(&self, query: &str) -> String {
        let postgres = format!("deployment/{}", self.names.postgres);
        let namespace = self.names.namespace;
        let psql =
            ["psql", "-h", "/var/run/postgresql", "-U", "postgres", "-XAtc", query, self.names.database];
        run("kubectl", &[&["-n", namespace, "exec", &postgres, "--"], psql.as_slice()].concat())
    }

    /// Runs a file of the example, as its README says, as this role.
    fn feed(&self, file: &str, role: &str) {
        let file = fs::File::open(self.path(file)).expect("a file of the example");
        let postgres = format!("deployment/{}", self.names.postgres);
        let psql =
            ["psql", "-h", "/var/run/postgresql", "-XqU", role, "-v", "ON_ERROR_STOP=1", self.names.database];
        let mut command = Command::new("kubectl");
        command.args(["-n", self.names.namespace, "exec", "-i", &postgres, "--"]).args(psql).stdin(file);
        let output = command.output().expect("kubectl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn app(&self) -> Deployment {
        self.story.api().get(self.names.app).await.expect("the Deployment is there")
    }

    /// Waits until the rollout of a version is finished, with its three Pods and no other.
    async fn rolled_out(&self, version: &str) {
        let what = format!("three Pods of {} at {version}", self.names.app);
        self.story
            .wait(&what, || async {
                let app = self.app().await;
                let status = app.status?;
                let counted = [status.replicas, status.updated_replicas, status.available_replicas]
                    .iter()
                    .all(|count| *count == Some(3));
                let current = status.observed_generation == app.metadata.generation;
                (current && counted && self.serving(version).await == 3).then_some(())
            })
            .await;
        assert!(!is_held(&self.app().await));
    }

    /// How many Pods of a version are ready.
    async fn serving(&self, version: &str) -> usize {
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={}", self.names.app));
        let pods = self.story.api::<Pod>().list(&ours).await.expect("lists");
        let requires = format!("requires.sluice.dev/{}", self.names.object);
        let ready = |pod: &Pod| {
            let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            pod.metadata.deletion_timestamp.is_none()
                && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        pods.iter()
            .filter(|pod| ready(pod) && pod.annotations().get(&requires).is_some_and(|at| at == version))
            .count()
    }

    /// The new version waits, and three Pods of the old one serve.
    async fn assert_held_at(&self, version: &str) {
        let app = self.app().await;
        assert!(is_held(&app), "{:?}", app.metadata.annotations);
        assert_eq!(self.serving(version).await, 3);
        assert_eq!(app.status.and_then(|status| status.replicas), Some(3), "and no other");
    }
}

fn is_held(deployment: &Deployment) -> bool {
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    paused && deployment.annotations().contains_key("sluice.dev/held")
}

#[tokio::test]
async fn in_neonpro_a_table_that_forgets_its_policies_is_named_and_its_release_held() {
    let example = Example::begin(Names {
        folder: "neonpro",
        namespace: "neonpro",
        object: "neonpro",
        app: "neonpro-api",
        postgres: "neonpro-postgres",
        database: "neonpro",
    })
    .await;
    let (story, last) = (&example.story, "20250918110000_add_clinic_agenda_view");
    let folders = [
        ("migrations", ""),
        ("security", ""),
        ("performance", ""),
        ("broken/20250919090000_add_lab_results", "migrations"),
    ];
    let (first, broken) = (example.push("1", &folders[..3]), example.push("2", &folders));
    let migrations = "registry.example/neonpro-migrations";

    example.apply(&[(migrations, &first)], &[]);
    let object = story.ready_of("neonpro", last).await;
    for kind in ["Planned", "Cleared", "SnapshotReady", "Applied", "Verified"] {
        assert!(find(&object, kind).is_some_and(|condition| condition.status == "True"), "{kind}");
    }
    example.rolled_out(last).await;
    let valid = "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indisvalid \
        AND relname IN \
         ('idx_appointments_clinic_start', 'idx_patients_clinic_cpf', \
         'idx_medical_records_clinic_patient_recent', 'idx_lgpd_consents_clinic_active')";
    assert_eq!(example.sql(valid), "4");

    example.apply(&[(migrations, &broken)], &["broken"]);
    let message = story.until_of("neonpro", "Verified", "False", "VerificationFailed").await;
    assert!(message.contains("lab_results"), "{message}");
    let findings = story.object("neonpro").await.status.expect("a status").findings;
    assert!(
        findings
            .iter()
            .any(|finding| finding.check.name() == "rls-enabled" && finding.object == "clinical.lab_results"),
        "{findings:?}"
    );
    assert_eq!(
        example.sql("SELECT count(*) FROM pg_class WHERE relname = 'lab_results'"),
        "0",
        "not even the table is there"
    );
    example.assert_held_at(last).await;

    example.apply(&[(migrations, &first)], &[]);
    story.ready_of("neonpro", last).await;
    example.rolled_out(last).await;
}

#[tokio::test]
async fn in_medical_records_the_application_starts_after_its_migration_and_a_broken_release_is_held() {
    let example = Example::begin(Names {
        folder: "medical-records",
        namespace: "medical",
        object: "records",
        app: "records-app",
        postgres: "records-postgres",
        database: "records",
    })
    .await;
    let (story, last) = (&example.story, "20240219110000_add_transcription_status");
    example.apply(&[], &[]);
    story.ready_at(last).await;
    example.rolled_out(last).await;

    example.apply(&[], &["broken"]);
    let message = story.until("Applied", "False", "MigrationFailed").await;
    assert!(
        message.contains("42P07") && message.contains("20240220100000_add_vital_signs_table"),
        "{message}"
    );
    let column = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'appointments'::regclass AND attname = \
        'isUnplanned'";
    assert_eq!(example.sql(column), "0", "the column of its first statement was taken back");
    example.assert_held_at(last).await;

    example.apply(&[], &[]);
    story.ready_at(last).await;
    example.rolled_out(last).await;
}

#[tokio::test]
async fn in_smartmed_a_table_without_a_policy_is_named_before_it_exists_and_its_release_held() {
    let example = Example::begin(Names {
        folder: "smartmed",
        namespace: "smartmed",
        object: "smartmed",
        app: "smartmed-api",
        postgres: "smartmed-postgres",
        database: "smartmed",
    })
    .await;
    let (story, last) = (&example.story, "20260202080000_change_missing_full_names");
    example.apply(&[], &[]);
    story.ready_of("smartmed", last).await;
    example.rolled_out(last).await;
    assert_eq!(
        example.sql("SELECT count(*) FROM _prisma_migrations"),
        "22",
        "the contract holds the last three back"
    );

    example.apply(&[], &["broken"]);
    let message = story.until_of("smartmed", "Verified", "False", "VerificationFailed").await;
    assert!(message.contains("invoices"), "{message}");
    let findings = story.object("smartmed").await.status.expect("a status").findings;
    assert!(
        findings
            .iter()
            .any(|finding| finding.check.name() == "rls-enabled" && finding.object == "public.invoices"),
        "{findings:?}"
    );
    assert_eq!(
        example.sql("SELECT count(*) FROM pg_class WHERE relname = 'invoices'"),
        "0",
        "not even the table is there"
    );
    example.assert_held_at(last).await;

    example.apply(&[], &[]);
    story.ready_of("smartmed", last).await;
    example.rolled_out(last).await;
}

#[tokio::test]
async fn in_elderly_care_the_history_refuses_to_be_rewritten_and_the_release_that_tries_is_held() {
    let example = Example::begin(Names {
        folder: "elderly-care",
        namespace: "elderly-care",
        object: "elderly-care",
        app: "elderly-care-api",
        postgres: "elderly-care-postgres",
        database: "elderly_care",
    })
    .await;
    let (story, last) = (&example.story, "20260207090000_change_audit_log_to_partitions");
    example.apply(&[], &[]);
    story.ready_of("elderly-care", last).await;
    example.rolled_out(last).await;
    example.feed("rows.sql", "elderly_care_migrator");

    example.apply(&[], &["broken"]);
    let message = story.until_of("elderly-care", "Applied", "False", "MigrationFailed").await;
    assert!(message.contains("P0001") && message.contains("20260211090000_change_ledger_roles"), "{message}");
    assert_eq!(
        example.sql(
            "SELECT count(*) > 0, count(*) FILTER (WHERE user_role = 'caregiver') FROM audit_log_ledger"
        ),
        "t|0"
    );
    assert_eq!(
        example.sql("SELECT count(*) FROM verify_audit_chain() WHERE is_valid IS NOT TRUE"),
        "0",
        "the chain is unbroken"
    );
    example.assert_held_at(last).await;

    example.apply(&[], &[]);
    story.ready_of("elderly-care", last).await;
    example.rolled_out(last).await;
}

#[tokio::test]
async fn in_global_healthcare_a_service_that_breaks_holds_the_portal_and_no_other_service() {
    const SERVICES: [&str; 8] =
        ["auth", "api", "telehealth", "mental-health", "chronic-care", "pharmacy", "laboratory", "imaging"];
    let example = Example::begin(Names {
        folder: "global-healthcare",
        namespace: "ghs",
        object: "telehealth",
        app: "ghs-portal",
        postgres: "ghs-postgres",
        database: "healthcare_telehealth",
    })
    .await;
    let (story, last) = (&example.story, "20241222120000_initial_schema");
    let ready = async |names: &[&str]| {
        for name in names {
            story.until_of(name, "Ready", "True", "Verified").await;
        }
    };
    example.apply(&[], &[]);
    ready(&SERVICES).await;
    example.rolled_out(last).await;

    example.apply(&[], &["services/telehealth/broken"]);
    let message = story.until_of("telehealth", "Verified", "False", "VerificationFailed").await;
    assert!(message.contains("VisitNote"), "{message}");
    let findings = story.object("telehealth").await.status.expect("a status").findings;
    assert!(
        findings
            .iter()
            .any(|finding| finding.check.name() == "foreign-key-indexed"
                && finding.object == "public.VisitNote"),
        "{findings:?}"
    );
    assert_eq!(
        example.sql("SELECT count(*) FROM pg_class WHERE relname = 'VisitNote'"),
        "0",
        "not even the table is there"
    );
    example.assert_held_at(last).await;
    ready(&SERVICES[..2]).await;
    ready(&SERVICES[3..]).await;

    example.apply(&[], &[]);
    ready(&SERVICES).await;
    example.rolled_out(last).await;
}
