//! Something is wrong with a migration: nothing is lost, nothing half is left, and the object says where to
//! look.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    ResourceExt,
    api::{ListParams, LogParams},
};
use serde_json::json;

use crate::story::{PASSWORD, Story, find, kubectl};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY);");
const BROKEN: (&str, &str) = (
    "20260102000000_broken",
    "CREATE TABLE half (id int PRIMARY KEY);\n\nALTER TABLE nowhere\n  ADD COLUMN a int;\n",
);
const MENDED: (&str, &str) = ("20260102000000_broken", "CREATE TABLE half (id int PRIMARY KEY);\n");
const UNINDEXED: (&str, &str) = (
    "20260102000000_visits",
    "CREATE TABLE visits (id int PRIMARY KEY, patient int REFERENCES patients (id));",
);

async fn tables(story: &Story) -> i64 {
    story
        .number("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        .await
}

#[tokio::test]
async fn a_failing_migration_says_sqlstate_file_line_and_statement_and_leaves_nothing_behind() {
    let story = Story::begin("failing").await;
    story.everything(&[FIRST], json!({})).await;
    story.ready_at(FIRST.0).await;
    let (tables_before, gate) = (tables(&story).await, story.gate().await);

    story.migrations(&[FIRST, BROKEN]).await;
    let message = story.until("Applied", "False", "MigrationFailed").await;
    for part in ["42P01", "20260102000000_broken.sql", ":3", "ALTER TABLE nowhere"] {
        assert!(message.contains(part), "the message has {part}: {message}");
    }
    story.until("Ready", "False", "MigrationFailed").await;
    story.until("Stalled", "True", "MigrationFailed").await;
    assert_eq!(tables(&story).await, tables_before, "nothing is left behind");
    assert_eq!(story.number("SELECT count(*) FROM _prisma_migrations").await, 1, "nor a row");
    assert_eq!(story.gate().await, gate, "versions that are applied stay satisfied");
    let jobs = story.jobs().await;

    story.migrations(&[FIRST, MENDED]).await;
    story.ready_at(BROKEN.0).await;
    assert_eq!(
        story.jobs().await.len(),
        jobs.len() + 1,
        "a halted migration waits for a change instead of trying again and again"
    );
}

#[tokio::test]
async fn a_verification_that_fails_before_commit_leaves_nothing_visible_and_the_gate_as_it_was() {
    let story = Story::begin("verification").await;
    story.everything(&[FIRST], json!({"verify": {"indexes": {"foreignKeys": {"level": "Error"}}}})).await;
    story.ready_at(FIRST.0).await;
    let (tables_before, gate) = (tables(&story).await, story.gate().await);

    story.migrations(&[FIRST, UNINDEXED]).await;
    let message = story.until("Verified", "False", "VerificationFailed").await;
    assert!(message.contains("visits"), "names the object: {message}");
    assert_eq!(tables(&story).await, tables_before, "rolled back");
    assert_eq!(story.number("SELECT count(*) FROM _prisma_migrations").await, 1);
    assert_eq!(story.gate().await, gate);
    let findings = story.object("records").await.status.expect("a status").findings;
    assert!(
        findings
            .iter()
            .any(|finding| finding.check.name() == "foreign-key-indexed" && finding.object.contains("visits")),
        "{findings:?}"
    );

    let indexed = format!("{}\nCREATE INDEX ON visits (patient);", UNINDEXED.1);
    story.migrations(&[FIRST, (UNINDEXED.0, &indexed)]).await;
    story.ready_at(UNINDEXED.0).await;
}

#[tokio::test]
async fn no_password_shows_in_a_status_an_event_a_log_a_pod_or_an_argument_list() {
    let story = Story::begin("no_password").await;
    story.everything(&[FIRST, BROKEN], json!({})).await;
    story.until("Ready", "False", "MigrationFailed").await;
    let mut everything =
        kubectl(&["-n", &story.namespace, "get", "dbm,jobs,pods,migrationgates,configmaps", "-o", "yaml"]);
    for event in story.api::<Event>().list(&ListParams::default()).await.expect("lists") {
        everything += &format!("{event:?}");
    }
    for pod in story.api::<Pod>().list(&ListParams::default()).await.expect("lists") {
        for container in ["plan", "snapshot", "migrate", "verify"] {
            let parameters = LogParams { container: Some(container.to_owned()), ..LogParams::default() };
            everything += &story.api::<Pod>().logs(&pod.name_any(), &parameters).await.expect("a log");
        }
    }
    assert!(everything.contains("MigrationFailed"), "the texts were really gathered");
    assert!(!everything.contains(PASSWORD), "the password shows");
}

#[tokio::test]
async fn an_edited_a_missing_and_a_late_migration_are_each_named_and_nothing_runs() {
    let story = Story::begin("diverged").await;
    let second = ("20260103000000_second", "CREATE TABLE visits (id int PRIMARY KEY);");
    story.everything(&[FIRST, second], json!({})).await;
    story.change(json!({"migrations": {"history": {"late": "Refuse", "missing": "Refuse"}}})).await;
    story.ready_at(second.0).await;

    story.migrations(&[FIRST, (second.0, "CREATE TABLE visits (id bigint PRIMARY KEY);")]).await;
    let message = story.until("Planned", "False", "HistoryDiverged").await;
    assert!(message.contains(second.0) && message.contains("edited"), "{message}");

    story.migrations(&[second]).await;
    let message = story.wait("the missing one to be named", || async {
        let object = story.object("records").await;
        find(&object, "Planned")
            .map(|planned| planned.message.clone())
            .filter(|message| message.contains("missing"))
    });
    assert!(message.await.contains(FIRST.0));

    story
        .migrations(&[FIRST, ("20260102000000_late", "CREATE TABLE late (id int PRIMARY KEY);"), second])
        .await;
    let message = story.wait("the late one to be named", || async {
        let object = story.object("records").await;
        find(&object, "Planned")
            .map(|planned| planned.message.clone())
            .filter(|message| message.contains("20260102000000_late"))
    });
    assert!(message.await.contains(second.0));
    assert_eq!(story.number("SELECT count(*) FROM pg_class WHERE relname = 'late'").await, 0);
    story.until("Stalled", "True", "HistoryDiverged").await;

    story.migrations(&[FIRST]).await;
    let message = story.until("Ready", "True", "DatabaseAhead").await;
    assert!(message.contains(second.0), "{message}");
    story.migrations(&[FIRST, second]).await;
    story.ready_at(second.0).await;
}

#[tokio::test]
async fn a_failed_row_of_prisma_is_named_and_resolved_by_the_manifest() {
    let story = Story::begin("dirty").await;
    story
        .execute(
            "CREATE TABLE _prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT \
                NULL, finished_at TIMESTAMPTZ, \
             migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ, started_at \
             TIMESTAMPTZ NOT NULL DEFAULT now(), \
             applied_steps_count INTEGER NOT NULL DEFAULT 0); \
             INSERT INTO _prisma_migrations (id, checksum, migration_name, logs) VALUES ('x', 'y', \
             '20260101000000_first', 'boom'); \
             DO $$ BEGIN EXECUTE format('ALTER TABLE _prisma_migrations OWNER TO %I', current_database()); \
             END $$;",
        )
        .await;
    story.everything(&[FIRST], json!({})).await;
    let message = story.until("Planned", "False", "HistoryDirty").await;
    assert!(message.contains(FIRST.0) && message.contains("resolve"), "{message}");
    story.change(json!({"migrations": {"resolve": [{"name": FIRST.0, "as": "RolledBack"}]}})).await;
    story.ready_at(FIRST.0).await;
    assert_eq!(
        story.number("SELECT count(*) FROM _prisma_migrations WHERE rolled_back_at IS NOT NULL").await,
        1,
        "the old row is kept"
    );
}

#[tokio::test]
async fn a_spec_that_contradicts_itself_is_refused_by_the_api_server_in_words() {
    let story = Story::begin("invalid").await;
    let object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
        "spec": {"database": {"secretRef": {"name": "db"}}, "migrations": {}, "snapshot": {"dump": {"volumeClaim": "snapshots"}}}});
    let error = story
        .api::<sluice::api::DatabaseMigration>()
        .create(&kube::api::PostParams::default(), &serde_json::from_value(object).expect("parses"))
        .await
        .expect_err("is refused");
    assert!(error.to_string().contains("exactly one source"), "{error}");
}
