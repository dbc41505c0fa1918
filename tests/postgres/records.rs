//! The records of runs in `sluice.records`: kept by the stage that ends a run, found again by the digest of
//! its verdict, and never blocks the run itself.

use serde_json::Value;
use sluice::{
    api::Reason,
    contract::{Outcome, Purpose, Stage, Verdict},
    postgres::{ConnectionUrl, RECORDS_KEPT},
    stage::{self, RecordError},
};

use crate::stage_scene::{Scene, finish, said, session};

const A: (&str, &str) = ("1_a", "CREATE TABLE a (x int, open text);\n");
const B: (&str, &str) = ("2_b", "CREATE INDEX b ON a (x) WHERE open = 'Jane Doe';\n");
const BROKEN: (&str, &str) = ("3_broken", "CREATE TABLE a (x int);\n");

/// Every stage in turn with its record, as the containers of a Pod and `sluice run` do it.
async fn run(scene: &Scene) -> Outcome {
    let context = scene.context();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for stage in Purpose::Apply.route().stages() {
        let mut outcome = stage::run(stage, &context, &outcomes).await;
        stage::keep_record(&context, &outcomes, &mut outcome).await;
        let ended = outcome.verdict != Verdict::Passed;
        outcomes.push(outcome);
        if ended {
            break;
        }
    }
    outcomes.pop().expect("an outcome")
}

async fn passes(scene: &Scene) -> Outcome {
    let outcome = run(scene).await;
    assert_eq!(outcome.reason, Reason::Verified, "{}", outcome.message);
    outcome
}

async fn count(scene: &Scene) -> String {
    scene.value("SELECT count(*)::text FROM sluice.records").await
}

fn url(scene: &Scene) -> ConnectionUrl {
    ConnectionUrl::parse(&scene.url).expect("a URL")
}

#[tokio::test]
async fn the_record_of_a_run_is_found_by_the_digest_of_its_verdict_and_has_everything_but_literals() {
    let scene = Scene::new("record", &[A, B]).await;
    let digest = passes(&scene).await.record.expect("the verdict has a digest");
    let (found, record) = stage::read_record(&url(&scene), Some(&digest)).await.expect("is read");
    assert_eq!(found, digest);
    assert_eq!((record.namespace.as_str(), record.name.as_str()), ("medical", "records"));
    let stages: Vec<Stage> = record.stages.iter().map(|outcome| outcome.stage).collect();
    assert_eq!(stages, Purpose::Apply.route().stages().collect::<Vec<_>>());
    let report = record.report.expect("was verified");
    assert_eq!((report.applied, report.reason.as_str()), (Some(2), "Verified"));
    assert!(report.schema.is_some_and(|schema| schema.tables.iter().any(|table| table.name == "a")));
    let text = scene.value("SELECT text FROM sluice.records").await;
    assert!(text.contains("WHERE") && !text.contains("Jane"), "{text}");
    let catalog = scene.value("SELECT string_agg(indexdef, ' ') FROM pg_indexes WHERE indexname = 'b'").await;
    assert!(catalog.contains("Jane Doe"), "the control: the literal is in the schema: {catalog}");
}

#[tokio::test]
async fn a_run_that_had_nothing_to_do_keeps_none_and_one_that_only_verifies_neither() {
    let scene = Scene::new("record_idle", &[A]).await;
    passes(&scene).await;
    assert_eq!(passes(&scene).await.record, None);
    let mut context = scene.context();
    context.purpose = Purpose::Verify;
    let mut failed = Outcome::failed(Stage::Verify, Reason::VerificationFailed, "a finding");
    stage::keep_record(&context, &[], &mut failed).await;
    assert_eq!((failed.record, count(&scene).await.as_str()), (None, "1"));
}

#[tokio::test]
async fn a_failed_run_leaves_a_record_where_there_is_a_table_and_nothing_where_there_is_none() {
    let scene = Scene::new("record_failed", &[("1_bad", "SELECT nothing;\n")]).await;
    let before = scene.catalog().await;
    let first = run(&scene).await;
    assert_eq!((first.reason, first.record), (Reason::MigrationFailed, None), "{}", first.message);
    assert_eq!(scene.catalog().await, before, "a database in which nothing was done is as it was");
    scene.remove("1_bad");
    scene.write(A.0, A.1);
    passes(&scene).await;
    scene.write(BROKEN.0, BROKEN.1);
    let failed = run(&scene).await;
    assert_eq!(failed.reason, Reason::MigrationFailed, "{}", failed.message);
    let digest = failed.record.expect("the table is there by now");
    let (_, record) = stage::read_record(&url(&scene), Some(&digest)).await.expect("is read");
    assert!(record.report.is_none(), "nothing was verified");
    let last = record.stages.last().expect("a stage");
    assert_eq!(last.failure.as_ref().map(|failure| failure.sqlstate.as_str()), Some("42P07"));
}

#[tokio::test]
async fn a_record_that_was_changed_or_removed_is_named_and_not_believed() {
    let scene = Scene::new("record_changed", &[A]).await;
    let digest = passes(&scene).await.record.expect("a digest");
    stage::read_record(&url(&scene), Some(&digest)).await.expect("the control: it is read as it is");
    scene.database.execute("UPDATE sluice.records SET text = replace(text, 'passed', 'Passed')").await;
    for asked in [Some(digest.as_str()), None] {
        let refused = stage::read_record(&url(&scene), asked).await.expect_err("is not believed");
        assert!(matches!(refused, RecordError::Changed(_)), "{refused}");
        assert!(refused.to_string().contains(&digest), "{refused}");
    }
    scene.database.execute("DELETE FROM sluice.records").await;
    let refused = stage::read_record(&url(&scene), Some(&digest)).await.expect_err("is gone");
    assert!(matches!(refused, RecordError::Missing(_)), "{refused}");
    let refused = stage::read_record(&url(&scene), None).await.expect_err("there is none");
    assert!(matches!(refused, RecordError::None), "{refused}");
}

#[tokio::test]
async fn records_that_are_too_many_or_too_old_go_and_those_of_other_objects_stay() {
    let scene = Scene::new("record_many", &[A]).await;
    passes(&scene).await;
    scene
        .database
        .execute(
            "INSERT INTO sluice.records SELECT md5(n::text) || md5(n::text), 'medical/records', 'a', 'Verified', \
                '{}', now() - n * interval '1 minute' FROM generate_series(1, 150) n; \
             INSERT INTO sluice.records VALUES ('old', 'medical/records', 'a', 'Verified', '{}', now() - \
                interval '366 days'), ('other', 'medical/other', 'a', 'Verified', '{}', now() - interval '9 years')",
        )
        .await;
    scene.write(B.0, B.1);
    let newest = passes(&scene).await.record.expect("a digest");
    let own = "SELECT digest FROM sluice.records WHERE object = 'medical/records' ORDER BY kept_at DESC";
    let kept = scene.column(own).await;
    assert_eq!(i64::try_from(kept.len()).expect("few"), RECORDS_KEPT);
    assert_eq!(kept[0], newest, "the newest stay");
    let other = "SELECT count(*)::text FROM sluice.records WHERE object = 'medical/other'";
    assert_eq!(scene.value(other).await, "1", "another object's records are its own");
    // By age alone, where they are few.
    scene.database.execute("DELETE FROM sluice.records WHERE object = 'medical/records'").await;
    scene
        .database
        .execute(
            "INSERT INTO sluice.records VALUES ('old', 'medical/records', 'a', 'Verified', '{}', now() - \
                interval '366 days'), ('young', 'medical/records', 'a', 'Verified', '{}', now() - interval '364 days')",
        )
        .await;
    scene.write("3_c", "CREATE TABLE c ();");
    let newest = passes(&scene).await.record.expect("a digest");
    assert_eq!(scene.column(own).await, [newest, "young".to_owned()]);
}

#[tokio::test]
async fn a_role_that_may_not_create_the_schema_keeps_no_record_and_is_ready_all_the_same() {
    let scene = Scene::new("record_rights", &[A]).await;
    let (name, role) = (&scene.database.name, &scene.role);
    let taken = format!(
        "ALTER DATABASE {name} OWNER TO CURRENT_USER; REVOKE CREATE ON DATABASE {name} FROM PUBLIC, {role}"
    );
    scene.database.execute(&taken).await;
    let outcome = passes(&scene).await;
    assert_eq!(outcome.record, None);
    assert!(!outcome.message.contains("sluice.records"), "the manifest asked for none: {}", outcome.message);
    assert_eq!(scene.value("SELECT to_regnamespace('sluice')::text").await, "");
    // A table of another role's is not written to.
    scene
        .database
        .execute(
            "CREATE SCHEMA sluice; CREATE TABLE sluice.records (digest varchar(64) PRIMARY KEY, object text, \
                attempt text, reason text, text text, kept_at timestamptz DEFAULT now()); \
             GRANT ALL ON SCHEMA sluice TO PUBLIC; GRANT ALL ON sluice.records TO PUBLIC",
        )
        .await;
    scene.write(B.0, B.1);
    assert_eq!(passes(&scene).await.record, None);
    assert_eq!(count(&scene).await, "0");
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_named_by_the_verdict_and_fails_nothing() {
    let scene = Scene::new("record_locked", &[A]).await;
    passes(&scene).await;
    scene.write(B.0, B.1);
    let lock = "BEGIN; LOCK TABLE sluice.records IN ACCESS EXCLUSIVE MODE";
    let held = session(&scene.database.url, "a person", lock).await;
    let outcome = passes(&scene).await;
    assert_eq!(outcome.record, None);
    assert!(outcome.message.contains("could not be kept in sluice.records"), "{}", outcome.message);
    drop(held);
    scene.write("3_c", "CREATE TABLE c ();");
    assert!(passes(&scene).await.record.is_some(), "the control: without the lock it is kept");
}

#[tokio::test]
async fn whoever_is_cut_off_while_it_keeps_a_record_leaves_no_part_of_one() {
    let scene = Scene::new("record_cut_off", &[A]).await;
    passes(&scene).await;
    scene.write(B.0, B.1);
    // Code of a superuser, which is trusted: it ends the session in the middle of the transaction.
    scene
        .database
        .execute(
            "CREATE FUNCTION public.cut_off() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
                'BEGIN PERFORM pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid()); RETURN NEW; END'; \
             CREATE TRIGGER cut_off AFTER INSERT ON sluice.records FOR EACH ROW EXECUTE FUNCTION \
             public.cut_off()",
        )
        .await;
    let outcome = passes(&scene).await;
    assert_eq!((outcome.record, count(&scene).await.as_str()), (None, "1"));
    assert!(outcome.message.contains("could not be kept"), "{}", outcome.message);
    assert_eq!(scene.history_table().await, ["1_a applied", "2_b applied"], "the run is what it was");
}

#[tokio::test]
async fn report_and_history_read_what_a_run_kept() {
    let scene = Scene::new("record_process", &[A]).await;
    let output = finish(scene.command("run")).await;
    assert!(output.status.success(), "{}", said(&output));
    let verb = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(arguments).env("DATABASE_URL", &scene.url);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    };
    let listed = finish(verb(&["history", "-o", "json"])).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let digest = listed[0]["record"].as_str().expect("a digest").to_owned();
    assert_eq!(
        (listed[0]["object"].as_str(), listed[0]["reason"].as_str()),
        (Some("medical/records"), Some("Verified"))
    );
    for arguments in [
        vec!["report", "--from-database", "-o", "json"],
        vec!["report", "--from-database", "--record", &digest, "-o", "json"],
    ] {
        let output = finish(verb(&arguments)).await;
        assert!(output.status.success(), "{}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(
            (report["kind"].as_str(), report["reason"].as_str()),
            (Some("VerificationReport"), Some("Verified"))
        );
    }
    let unknown = finish(verb(&["report", "--from-database", "--record", &"0".repeat(64)])).await;
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
    assert!(said(&unknown).contains("has no record 000"), "{}", said(&unknown));
}

#[tokio::test]
async fn a_record_has_the_log_of_the_run_without_rows_even_where_the_log_has_them() {
    let notice = ("1_notice", "DO $$ BEGIN RAISE NOTICE 'Jane Doe was here'; END $$;\n");
    let scene = Scene::new("record_log", &[notice]).await.with("apply", "{logData: true}");
    let mut command = scene.command("run");
    command.env("RUST_LOG", "info");
    let output = finish(command).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("Jane Doe"), "the control: the log has it: {}", said(&output));
    let (_, record) = stage::read_record(&url(&scene), None).await.expect("is read");
    assert!(record.log.iter().any(|line| line.contains("1_notice")), "{:#?}", record.log);
    assert!(!record.log.concat().contains("Jane"), "{:#?}", record.log);
}
