//! Several databases in one namespace: applied in any order they run in the documented one, and a failure
//! holds only those who come after it.

use std::collections::BTreeMap;

use fastrand::Rng;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};
use sluice::api::DatabaseMigration;

use crate::{
    server::{FROM_PODS, Server, connect, execute},
    story::{PASSWORD, Story, find},
};

/// As deploy/examples/global-healthcare documents it.
const SERVICES: [&str; 8] =
    ["auth", "api", "telehealth", "mental-health", "chronic-care", "pharmacy", "laboratory", "imaging"];
const FIRST: &str = "20260101000000_first";
const GOOD: &str = "CREATE TABLE things (id int PRIMARY KEY);";
const BROKEN: &str = "CREATE TABLE things (id int PRIMARY KEY);\nALTER TABLE nowhere ADD COLUMN a int;";

fn database(story: &Story, service: &str) -> String {
    format!("{}_{}", story.database, service.replace('-', "_"))
}

/// The database of a service, its Secret, and its migrations.
async fn prepare(story: &Story, service: &str, sql: &str) {
    let (server, name) = (Server::get(), database(story, service));
    let mut administrator = connect(&server.url("postgres", "postgres")).await;
    execute(
        &mut administrator,
        &format!("CREATE DATABASE {name} TEMPLATE template0 OWNER {}", story.database),
    )
    .await;
    let url = format!(
        "postgres://{}:{PASSWORD}@{FROM_PODS}:{}/{name}?sslmode=disable",
        story.database, server.port
    );
    let metadata = |name: String| ObjectMeta { name: Some(name), ..ObjectMeta::default() };
    let data = BTreeMap::from([("url".to_owned(), url)]);
    story
        .create(Secret {
            metadata: metadata(format!("{service}-db")),
            string_data: Some(data),
            ..Secret::default()
        })
        .await;
    source(story, service, sql).await;
}

/// Creates or changes the migrations of a service.
async fn source(story: &Story, service: &str, sql: &str) {
    let name = format!("{service}-migrations");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"migration_lock.toml": "provider = \"postgresql\"\n", format!("{FIRST}.sql"): sql}});
    story.apply::<ConfigMap>(map).await;
}

async fn migrate(story: &Story, service: &str, before: Value) {
    let none = json!({"dump": null, "none": {"reason": "a story about order"}});
    let database = json!({"secretRef": {"name": format!("{service}-db")}});
    let migrations = json!({"configMaps": [format!("{service}-migrations")]});
    story
        .migrate_as(
            service,
            json!({"database": database, "migrations": migrations, "snapshot": none, "before": before}),
        )
        .await;
}

/// Its place, and what it needs.
fn place(service: &str) -> Value {
    let position = SERVICES.iter().position(|other| *other == service).expect("a service") + 1;
    let depends_on = if position > 2 { json!([{"name": "api", "minVersion": FIRST}]) } else { json!([]) };
    json!({"dependsOn": depends_on, "group": {"name": "ghs", "position": position}})
}

/// All eight in a random order; `SEED` repeats one.
async fn apply_all(story: &Story) {
    let seed =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let mut names = SERVICES;
    Rng::with_seed(seed).shuffle(&mut names);
    println!("SEED={seed}: applied as {names:?}");
    for name in names {
        migrate(story, name, place(name)).await;
    }
}

/// When a service began and ended to migrate, by the clock of the server they share, in microseconds.
async fn times(story: &Story, service: &str) -> (i64, i64) {
    let query = "SELECT (extract(epoch FROM min(started_at)) * 1000000)::bigint, (extract(epoch FROM \
        max(finished_at)) * 1000000)::bigint \
         FROM _prisma_migrations WHERE finished_at IS NOT NULL";
    let mut session = connect(&Server::get().url("postgres", &database(story, service))).await;
    sqlx::query_as(query).fetch_one(&mut session).await.unwrap_or_else(|error| panic!("{service}: {error}"))
}

async fn assert_ran_in_order(story: &Story, services: &[&str]) {
    let mut ended = 0;
    for service in services {
        let (began, end) = times(story, service).await;
        assert!(ended < began, "{service} began at {began}, before {ended}");
        ended = end;
    }
}

async fn all_ready(story: &Story, services: &[&str]) {
    for service in services {
        story.ready_of(service, FIRST).await;
    }
}

#[tokio::test]
async fn eight_services_applied_at_once_in_random_order_run_in_the_documented_order() {
    let story = Story::begin("eight").await;
    for service in SERVICES {
        prepare(&story, service, GOOD).await;
    }
    apply_all(&story).await;
    all_ready(&story, &SERVICES).await;
    assert_ran_in_order(&story, &SERVICES).await;
    assert_eq!(story.jobs().await.len(), 8, "one run for each");
}

#[tokio::test]
async fn a_service_that_fails_holds_those_after_it_and_nobody_else() {
    let story = Story::begin("eight_and_one_fails").await;
    for service in SERVICES {
        prepare(&story, service, if service == "api" { BROKEN } else { GOOD }).await;
    }
    prepare(&story, "billing", GOOD).await;
    apply_all(&story).await;
    migrate(&story, "billing", json!({})).await;

    story.ready_of("auth", FIRST).await;
    story.until_of("api", "Ready", "False", "MigrationFailed").await;
    for service in &SERVICES[2..] {
        let what = format!("{service} to name what it waits for");
        story
            .wait(&what, || async {
                let object = story.object(service).await;
                let ready = find(&object, "Ready")?;
                let named = ready.message.contains("\"api\"") && ready.message.contains("MigrationFailed");
                (ready.reason == "DependencyNotReady" && named && find(&object, "Stalled").is_none())
                    .then_some(())
            })
            .await;
    }
    story.ready_of("billing", FIRST).await;
    story.ready_of("auth", FIRST).await;
    assert_eq!(story.jobs().await.len(), 3, "auth, api and billing");

    source(&story, "api", GOOD).await;
    all_ready(&story, &SERVICES).await;
    assert_ran_in_order(&story, &SERVICES).await;
}

#[tokio::test]
async fn a_cycle_is_named_as_a_whole_and_goes_on_at_once_when_it_is_cut() {
    let story = Story::begin("circle").await;
    for (service, after) in [("a", "b"), ("b", "c"), ("c", "a")] {
        prepare(&story, service, GOOD).await;
        migrate(&story, service, json!({"dependsOn": [{"name": after}]})).await;
    }
    for (service, cycle) in [("a", "a -> b -> c -> a"), ("b", "b -> c -> a -> b"), ("c", "c -> a -> b -> c")]
    {
        let message = story.until_of(service, "Stalled", "True", "DependencyCycle").await;
        assert!(message.contains(cycle), "{message}");
    }
    assert!(story.jobs().await.is_empty());
    let cut = Patch::Merge(json!({"spec": {"before": {"dependsOn": null}}}));
    story
        .api::<DatabaseMigration>()
        .patch("c", &PatchParams::default(), &cut)
        .await
        .expect("changes the spec");
    all_ready(&story, &["c", "b", "a"]).await;
    assert_ran_in_order(&story, &["c", "b", "a"]).await;
}
