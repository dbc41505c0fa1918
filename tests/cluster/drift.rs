//! `verify.every` on a cluster: what a person does to the database by hand turns Ready off within one period,
//! and on again.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event;
use kube::{ResourceExt, api::ListParams};
use serde_json::json;

use crate::story::{Story, find};

const PERIOD: Duration = Duration::from_secs(20);
/// For the run itself, on two cores.
const RUN: Duration = Duration::from_secs(20);
const FIRST: &str = "20260101000000_first";
const POLICY: &str = "CREATE POLICY own ON visits USING (clinic_id = (SELECT \
    NULLIF(current_setting('app.clinic_id', true), '')::uuid)) \
     WITH CHECK (clinic_id = (SELECT NULLIF(current_setting('app.clinic_id', true), '')::uuid));";

/// Reasons and messages of the Events about `records`, oldest first.
async fn events(story: &Story) -> Vec<(String, String)> {
    let mut events = story.api::<Event>().list(&ListParams::default()).await.expect("lists").items;
    events.retain(|event| event.involved_object.kind.as_deref() == Some("DatabaseMigration"));
    events.sort_by_key(|event| event.creation_timestamp().map(|time| time.0));
    events
        .into_iter()
        .map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
        .collect()
}

/// A clinic whose application may see one tenant, verified every 20 seconds.
async fn clinic(name: &str) -> Story {
    let story = Story::begin(name).await;
    let (owner, app) = (&story.database, format!("{}_app", story.database));
    story
        .execute(&format!(
            "CREATE ROLE {app} LOGIN; ALTER ROLE {owner} BYPASSRLS CREATEDB; GRANT {app} TO {owner}"
        ))
        .await;
    let sql = format!(
        "CREATE TABLE visits (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), clinic_id uuid NOT NULL, note \
            text);\n\
         CREATE INDEX visits_clinic_id_idx ON visits (clinic_id);\nALTER TABLE visits ENABLE ROW LEVEL \
         SECURITY;\n\
         ALTER TABLE visits FORCE ROW LEVEL SECURITY;\n{POLICY}\nGRANT SELECT, INSERT, UPDATE, DELETE ON \
         visits TO {app};\n"
    );
    let isolation = json!({"appRole": app, "tenant": {"column": "clinic_id", "setting": "app.clinic_id"}});
    let verify =
        json!({"every": format!("{}s", PERIOD.as_secs()), "rowLevelSecurity": isolation, "drift": {}});
    story.everything(&[(FIRST, &sql)], json!({"verify": verify})).await;
    story.ready_at(FIRST).await;
    story
}

#[tokio::test]
async fn a_policy_dropped_by_hand_turns_ready_off_within_one_period_and_back_on_after_repair() {
    let story = clinic("policy_dropped").await;
    let gate = story.gate().await;
    story.execute("DROP POLICY own ON visits").await;
    let dropped = Instant::now();
    let message = story.until("Ready", "False", "VerificationFailed").await;
    assert!(dropped.elapsed() <= PERIOD + RUN, "noticed after {:?}", dropped.elapsed());
    println!("noticed {:?} after it was dropped", dropped.elapsed());
    assert!(message.contains("visits") && message.contains("verifies it again every 20s"), "{message}");
    let status = story.object("records").await.status.expect("a status");
    for check in ["schema-drift", "rls-policies"] {
        assert!(
            status.findings.iter().any(|finding| finding.check.name() == check),
            "{check}: {:#?}",
            status.findings
        );
    }
    assert_eq!(story.gate().await, gate, "Pods of this version may run, so the gate stays");
    assert_eq!(story.number("SELECT count(*) FROM pg_policy").await, 0, "it repairs nothing automatically");

    story.execute(POLICY).await;
    let repaired = Instant::now();
    story.ready_at(FIRST).await;
    assert!(repaired.elapsed() <= PERIOD + RUN, "noticed after {:?}", repaired.elapsed());
    println!("Ready {:?} after the repair", repaired.elapsed());
    let events = events(&story).await;
    let reasons: Vec<&str> = events.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["Verified", "VerificationFailed", "Verified"], "{events:#?}");
    assert!(events[1].1.contains("visits"), "{events:#?}");
    let scratch = "SELECT count(*) FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba \
         WHERE rolname = current_database() AND datname LIKE 'sluice_scratch_%'";
    story
        .wait("the scratch databases to be gone", || async {
            (story.number(scratch).await == 0).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_verification_that_confirms_is_quiet() {
    let story = clinic("confirmed").await;
    let before = story.object("records").await;
    story
        .wait("a second verification", || async {
            let object = story.object("records").await;
            let ready = find(&object, "Ready").expect("Ready");
            assert_eq!(ready.status, "True", "it stays Ready meanwhile: {}", ready.message);
            (object.status?.history.len() == 2).then_some(())
        })
        .await;
    let after = story.object("records").await;
    assert_eq!(find(&after, "Ready"), find(&before, "Ready"), "not even its time has changed");
    assert_eq!(events(&story).await.len(), 1);
    assert_eq!(story.number("SELECT count(*) FROM _prisma_migrations").await, 1);
}
