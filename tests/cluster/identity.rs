//! The gate knows what is applied, however long ago, and in which database.

use std::{collections::BTreeMap, fmt::Write as _};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::api::DeleteParams;
use serde_json::json;
use sluice::api::{DatabaseMigration, MigrationGate};

use crate::{
    application::{application, held, running},
    server::{FROM_PODS, Server, connect, execute},
    story::{PASSWORD, Story},
};

const FIRST: (&str, &str) = ("20260101000000_first", "CREATE TABLE patients (id int PRIMARY KEY);");
const SECOND: (&str, &str) = ("20260102000000_second", "ALTER TABLE patients ADD COLUMN born date;");

/// The name of one of many migrations.
fn nth(number: u32) -> String {
    format!("20240101{number:06}_change")
}

/// A history of Prisma's with so many migrations, applied by it before Sluice was there; `interop.rs` of the
/// tests of PostgreSQL shows that its rows look like this.
async fn applied_by_prisma(story: &Story, count: u32) -> Vec<(String, String)> {
    let files: Vec<_> = (1..=count)
        .map(|number| (nth(number), format!("CREATE TABLE changes_{number} (id int PRIMARY KEY);")))
        .collect();
    let mut script = format!(
        "SET ROLE {}; CREATE TABLE _prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum \
            VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ, \
         migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ, started_at TIMESTAMPTZ \
         NOT NULL DEFAULT now(), \
         applied_steps_count INTEGER NOT NULL DEFAULT 0);",
        story.database
    );
    for (name, text) in &files {
        write!(
            script,
            "{text} INSERT INTO _prisma_migrations (id, checksum, finished_at, started_at, migration_name, \
                applied_steps_count) \
             VALUES (gen_random_uuid(), encode(sha256('{text}'), 'hex'), clock_timestamp(), \
             clock_timestamp(), '{name}', 1);"
        )
        .expect("a String takes every text");
    }
    story.execute(&script).await;
    files
}

async fn runs(story: &Story, version: &str, replicas: usize) {
    story
        .wait(&format!("{replicas} Pods of {version} to run"), || async {
            (running(story).await.get(version).copied().unwrap_or(0) == replicas).then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_application_that_needs_an_old_version_of_a_long_adopted_history_starts_and_one_that_needs_an_invented_one_does_not()
 {
    const MANY: u32 = 400;
    let story = Story::begin("long_history").await;
    let files = applied_by_prisma(&story, MANY).await;
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    story.everything(&files, json!({})).await;
    story.ready_at(&nth(MANY)).await;
    let (old, gate) = (nth(7), story.gate().await);
    assert!(gate.contains(&format!("records@{}", nth(MANY))), "{gate:?}");
    assert!(
        !gate.contains(&format!("records@{old}")),
        "the gate has the newest alone, or this story shows nothing: {gate:?}"
    );

    let mut invented = application(1, "20240101000007_changed");
    invented["metadata"]["name"] = "invented".into();
    invented["spec"]["selector"]["matchLabels"]["app"] = "invented".into();
    invented["spec"]["template"]["metadata"]["labels"]["app"] = "invented".into();
    story.apply::<Deployment>(application(2, &old)).await;
    story.apply::<Deployment>(invented).await;
    runs(&story, &old, 2).await;
    assert!(!held(&story).await);
    assert!(story.gate().await.contains(&format!("records@{old}")));
    let missing = story
        .wait("the answer about the invented version", || async {
            story
                .object("records")
                .await
                .status?
                .required
                .map(|required| required.missing)
                .filter(|missing| !missing.is_empty())
        })
        .await;
    assert_eq!(missing, ["20240101000007_changed"]);
    let waits: Deployment = story.api().get("invented").await.expect("the Deployment");
    assert_eq!(waits.spec.and_then(|spec| spec.paused), Some(true), "what the database never had stays held");
    assert_eq!(
        story.number("SELECT count(*) FROM _prisma_migrations").await,
        i64::from(MANY),
        "and nothing ran"
    );
    story.ready_at(&nth(MANY)).await;
}

/// The Secret leads to another database on the same server.
async fn point_at(story: &Story, database: &str) {
    let url = format!(
        "postgres://{}:{PASSWORD}@{FROM_PODS}:{}/{database}?sslmode=disable",
        story.database,
        Server::get().port
    );
    story.apply::<Secret>(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"url": url}})).await;
}

/// Whose entries the gate has, and which.
async fn known(story: &Story) -> (Vec<String>, String) {
    let gate: MigrationGate = story.api().get("gates").await.expect("the gate");
    let databases = serde_json::to_string(&gate.spec.databases).expect("JSON");
    (gate.spec.satisfied, databases)
}

#[tokio::test]
async fn a_second_database_behind_the_same_name_opens_nothing() {
    let story = Story::begin("second_database").await;
    let second = format!("{}_other", story.database);
    let mut administrator = connect(&Server::get().url("postgres", "postgres")).await;
    execute(
        &mut administrator,
        &format!("CREATE DATABASE {second} TEMPLATE template0 OWNER {}", story.database),
    )
    .await;
    story.everything(&[FIRST], json!({})).await;
    story.apply::<Deployment>(application(2, FIRST.0)).await;
    runs(&story, FIRST.0, 2).await;
    story.ready_at(FIRST.0).await;
    let before = known(&story).await;
    assert!(before.1.contains("records"), "the gate knows which database it is: {}", before.1);

    point_at(&story, &second).await;
    story.migrations(&[FIRST, SECOND]).await;
    story.apply::<Deployment>(application(2, SECOND.0)).await;
    let message = story.until("Ready", "False", "DatabaseChanged").await;
    println!("{message}");
    story.until("Stalled", "True", "DatabaseChanged").await;
    let mut session = connect(&Server::get().url("postgres", &second)).await;
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _prisma_migrations")
        .fetch_one(&mut session)
        .await
        .expect("counts");
    assert_eq!(applied, 2, "there everything is applied and verified");
    assert_eq!(known(&story).await, before, "and the gate has not moved");
    assert!(held(&story).await);
    assert_eq!(
        running(&story).await,
        BTreeMap::from([(FIRST.0.to_owned(), 2)]),
        "the old Pods serve, and no other"
    );

    // Neither does it help to make the object again.
    story.api::<DatabaseMigration>().delete("records", &DeleteParams::foreground()).await.expect("deletes");
    story
        .wait("the object to go", || async {
            story.api::<DatabaseMigration>().get_opt("records").await.ok()?.is_none().then_some(())
        })
        .await;
    story.migrate(json!({})).await;
    story.until("Ready", "False", "DatabaseChanged").await;
    assert_eq!(known(&story).await, before);
    assert!(held(&story).await);

    point_at(&story, &story.database).await;
    story.retry("the right database").await;
    story.ready_at(SECOND.0).await;
    runs(&story, SECOND.0, 2).await;
    assert_eq!(known(&story).await.1, before.1);
}
