//! The stages as the Pod of a run starts them: so many processes at once, one folder between them, an Outcome in
//! each termination message.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use sluice::{
    api::{DatabaseMigration, Reason},
    contract::{Outcome, Progress, Stage, Verdict},
    controller::progress::fetch,
    postgres::ConnectionUrl,
    stage::read_record,
};
use sqlx::Connection;
use tokio::process::{Child, Command};

use crate::{
    phases,
    stage_scene::{DEADLINE, Scene, old_snapshot, session, snapshot_within_concurrently, until},
};

const INIT: (&str, &str) =
    ("1_init", "CREATE TABLE t (x int);\nINSERT INTO t SELECT generate_series(1, 100);\n");
const INDEX: (&str, &str) = ("2_index", "CREATE INDEX CONCURRENTLY t_x ON t (x);\n");

/// One Pod: its containers share a folder, and each has a termination message of its own.
pub struct Pod<'a> {
    scene: &'a Scene,
    folder: tempfile::TempDir,
    /// Where its stages say how far they are.
    port: u16,
    /// In the order in which they run.
    stages: Vec<Stage>,
    containers: BTreeMap<&'static str, Child>,
}

impl<'a> Pod<'a> {
    /// Starts every container, in this order.
    pub fn start<const N: usize>(scene: &'a Scene, order: [Stage; N]) -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let folder = tempfile::tempdir().expect("a folder");
        let mut stages = order.to_vec();
        stages.sort_unstable();
        let mut pod = Self { scene, folder, port, stages, containers: BTreeMap::new() };
        fs::create_dir(pod.folder.path().join("run")).expect("an empty volume");
        for stage in order {
            // The kubelet makes the file before it starts the container.
            fs::write(pod.message(stage), "").expect("an empty message");
            let child = pod.container(stage).spawn().expect("the binary starts");
            pod.containers.insert(stage.name(), child);
        }
        pod
    }

    /// What `build::pod` writes: the stage, its environment; and, since there are no mounts here, where
    /// everything is.
    fn container(&self, stage: Stage) -> Command {
        let object: DatabaseMigration =
            serde_saphyr::from_str(&self.scene.manifest()).expect("the manifest reads");
        let mut spec = serde_json::to_value(&object).expect("is JSON");
        spec["apiVersion"] = "sluice.dev/v1alpha1".into();
        spec["kind"] = "DatabaseMigration".into();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["stage", stage.name(), "--run"]).arg(self.folder.path().join("run"));
        command
            .arg("--source")
            .arg(self.scene.source())
            .arg("--snapshots")
            .arg(self.folder.path().join("snapshots"));
        command
            .arg("--phases")
            .arg(self.scene.folder.path())
            .arg("--termination-log")
            .arg(self.message(stage));
        command
            .env("SLUICE_SPEC", spec.to_string())
            .env("SLUICE_ATTEMPT", "1")
            .env("DATABASE_URL", &self.scene.url);
        command.arg("--progress-port").arg(self.port.to_string());
        command.stdout(self.log(stage)).stderr(Stdio::inherit()).kill_on_drop(true);
        command
    }

    pub fn message(&self, stage: Stage) -> PathBuf {
        self.folder.path().join(format!("{}.message", stage.name()))
    }

    fn log(&self, stage: Stage) -> fs::File {
        fs::File::create(self.folder.path().join(format!("{}.log", stage.name()))).expect("a log")
    }

    /// Waits until a container has ended.
    pub async fn end(&mut self, stage: Stage) -> ExitStatus {
        let child = self.containers.get_mut(stage.name()).expect("it was started");
        tokio::time::timeout(DEADLINE, child.wait()).await.expect("ends in time").expect("has a status")
    }

    /// SIGTERM to every container, as the kubelet sends it when the Pod is deleted.
    pub fn delete(&self) {
        for child in self.containers.values() {
            let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
            if let Some(pid) = pid {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM is sent");
            }
        }
    }

    /// SIGKILL to one container.
    async fn kill(&mut self, stage: Stage) {
        self.containers.get_mut(stage.name()).expect("it was started").start_kill().expect("SIGKILL is sent");
        assert_eq!(self.end(stage).await.code(), None, "it ended by a signal");
    }

    /// What the controller reads once every container has ended.
    async fn ended(&mut self) -> Vec<Ended<Outcome>> {
        let mut ended = Vec::new();
        for stage in self.stages.clone() {
            let status = self.end(stage).await;
            let message = fs::read_to_string(self.message(stage)).expect("the message reads");
            let outcome = Outcome::from_message(&message);
            if let Some(outcome) = &outcome {
                let log = fs::read_to_string(self.folder.path().join(format!("{}.log", stage.name())))
                    .expect("the log reads");
                assert_eq!(
                    Outcome::from_message(&log).as_ref(),
                    Some(outcome),
                    "the log says the same: {log}"
                );
            }
            ended.push((stage, status.code(), outcome));
        }
        ended
    }
}

/// A container that has ended: exit code, none after a signal; and what its message says, none where it says
/// nothing readable.
type Ended<T> = (Stage, Option<i32>, Option<T>);

/// Only what the tests compare.
fn short(ended: &[Ended<Outcome>]) -> Vec<Ended<(Verdict, Reason)>> {
    ended
        .iter()
        .map(|(stage, code, outcome)| {
            (*stage, *code, outcome.as_ref().map(|outcome| (outcome.verdict, outcome.reason)))
        })
        .collect()
}

pub const IN_ORDER: [Stage; 4] = [Stage::Plan, Stage::Snapshot, Stage::Migrate, Stage::Verify];
const BACKWARDS: [Stage; 4] = [Stage::Verify, Stage::Migrate, Stage::Snapshot, Stage::Plan];
const MIXED: [Stage; 4] = [Stage::Snapshot, Stage::Verify, Stage::Plan, Stage::Migrate];

#[tokio::test]
async fn four_processes_started_in_any_order_run_one_after_the_other() {
    for order in [IN_ORDER, BACKWARDS, MIXED] {
        let scene = Scene::new("four", &[INIT, INDEX])
            .await
            .with("snapshot", "{dump: {volumeClaim: records-snapshots}}");
        let mut pod = Pod::start(&scene, order);
        let ended = pod.ended().await;
        let passed = |stage, reason| (stage, Some(0), Some((Verdict::Passed, reason)));
        let expected = [
            passed(Stage::Plan, Reason::PlanReady),
            passed(Stage::Snapshot, Reason::SnapshotTaken),
            passed(Stage::Migrate, Reason::Applied),
            passed(Stage::Verify, Reason::Verified),
        ];
        assert_eq!(short(&ended), expected, "started as {order:?}: {ended:#?}");
        let record = ended[1].2.as_ref().and_then(|outcome| outcome.snapshot.clone()).expect("a snapshot");
        let (_, path) = record.reference.split_once(':').expect("CLAIM:PATH");
        assert!(pod.folder.path().join("snapshots").join(path).is_dir(), "{path} is there");
        let history = ended[3]
            .2
            .as_ref()
            .and_then(|outcome| outcome.history.clone())
            .expect("the last stage says what is applied");
        assert_eq!((history.current.as_deref(), history.pending_count), (Some(INDEX.0), 0));
        assert_eq!(scene.history_table().await, ["1_init applied", "2_index applied"]);
        // The last container keeps what the others have logged, too.
        let digest = ended[3].2.as_ref().and_then(|outcome| outcome.record.clone()).expect("a record");
        let url = ConnectionUrl::parse(&scene.url).expect("a URL");
        let (_, record) = read_record(&url, Some(&digest)).await.expect("is read");
        let of_migrate = |line: &String| line.contains("step done") && line.contains(INDEX.0);
        assert!(record.log.iter().any(of_migrate), "{:#?}", record.log);
        until("their sessions end", || async { scene.sessions().await == "0" }).await;
    }
}

#[tokio::test]
async fn a_plan_that_fails_ends_the_other_three_and_nothing_is_changed() {
    let scene =
        Scene::new("plan_fails", &[INIT]).await.with("snapshot", "{dump: {volumeClaim: records-snapshots}}");
    scene.database.execute("CREATE TABLE already_here ()").await;
    let before = scene.catalog().await;
    for order in [IN_ORDER, BACKWARDS] {
        let mut pod = Pod::start(&scene, order);
        let ended = pod.ended().await;
        let not_reached = |stage| (stage, Some(1), Some((Verdict::NotReached, Reason::NonEmptyDatabase)));
        let expected = [
            (Stage::Plan, Some(1), Some((Verdict::Failed, Reason::NonEmptyDatabase))),
            not_reached(Stage::Snapshot),
            not_reached(Stage::Migrate),
            not_reached(Stage::Verify),
        ];
        assert_eq!(short(&ended), expected, "{ended:#?}");
        assert!(!pod.folder.path().join("snapshots").exists(), "no snapshot was begun");
        assert_eq!(scene.catalog().await, before);
    }
}

#[tokio::test]
async fn a_migration_that_fails_is_told_by_its_own_container_and_verify_is_not_reached() {
    let scene = Scene::new("migrate_fails", &[INIT, ("2_wrong", "SELECT 1;\nSELECT missing;\n")]).await;
    let ended = Pod::start(&scene, BACKWARDS).ended().await;
    let expected = [
        (Stage::Plan, Some(0), Some((Verdict::Passed, Reason::PlanReady))),
        (Stage::Snapshot, Some(0), Some((Verdict::Passed, Reason::SnapshotWaived))),
        (Stage::Migrate, Some(1), Some((Verdict::Failed, Reason::MigrationFailed))),
        (Stage::Verify, Some(1), Some((Verdict::NotReached, Reason::MigrationFailed))),
    ];
    assert_eq!(short(&ended), expected, "{ended:#?}");
    let failure = ended[2].2.as_ref().and_then(|outcome| outcome.failure.clone()).expect("a failure");
    assert_eq!(
        (failure.file.as_str(), failure.line, failure.sqlstate.as_str()),
        ("2_wrong/migration.sql", 2, "42703")
    );
    assert_eq!(scene.value("SELECT to_regclass('t')::text").await, "", "rolled back");
}

#[tokio::test]
async fn a_migrate_process_that_is_killed_leaves_no_outcome_and_verify_says_that_the_run_is_lost() {
    let scene = Scene::new("migrate_killed", &[INIT]).await;
    scene.ready().await;
    scene.database.execute("CREATE TABLE other ()").await;
    scene.write(INDEX.0, INDEX.1);
    let older = old_snapshot(&scene).await;
    let mut pod = Pod::start(&scene, MIXED);
    let reader = snapshot_within_concurrently(&scene, older).await;
    pod.kill(Stage::Migrate).await;
    let ended = pod.ended().await;
    let expected = [
        (Stage::Plan, Some(0), Some((Verdict::Passed, Reason::PlanReady))),
        (Stage::Snapshot, Some(0), Some((Verdict::Passed, Reason::SnapshotWaived))),
        (Stage::Migrate, None, None),
        (Stage::Verify, Some(1), Some((Verdict::NotReached, Reason::RunLost))),
    ];
    assert_eq!(short(&ended), expected, "{ended:#?}");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_index unfinished"]);

    // The next attempt is another Pod, which may start while the server is still busy with the killed one.
    reader.close().await.expect("goes");
    let ended = Pod::start(&scene, BACKWARDS).ended().await;
    assert!(ended.iter().all(|(_, code, _)| *code == Some(0)), "{ended:#?}");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_index applied"]);
    assert_eq!(
        scene.value("SELECT bool_and(indisvalid)::text FROM pg_index WHERE indrelid = 't'::regclass").await,
        "true"
    );
    assert_eq!(scene.value("SELECT count(*)::text FROM sluice.journal").await, "0");
}

#[tokio::test]
async fn whichever_process_is_killed_while_it_waits_the_later_ones_end_and_the_earlier_ones_do_not_notice() {
    let scene = Scene::new("waiting_killed", &[INIT]).await;
    scene.ready().await;
    scene.write("2_alter", "ALTER TABLE t ADD COLUMN y int;\n");
    // A session that reads the history waits, so the plan does.
    let holder =
        session(&scene.database.url, "somebody", "BEGIN; LOCK _prisma_migrations IN ACCESS EXCLUSIVE MODE")
            .await;
    let mut pod = Pod::start(&scene, IN_ORDER);
    let waits = format!(
        "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE \
            'sluice%' AND wait_event_type = 'Lock'",
        scene.database.name
    );
    until("the plan waits for the history", || async { scene.value(&waits).await == "true" }).await;
    let lock = pod.folder.path().join("run").join("snapshot.lock");
    until("the snapshot's process has its lock", || async { lock.exists() }).await;
    pod.kill(Stage::Snapshot).await;
    assert_eq!(pod.end(Stage::Migrate).await.code(), Some(1), "it does not wait for the plan");
    holder.close().await.expect("goes");
    let ended = pod.ended().await;
    let lost = |stage| (stage, Some(1), Some((Verdict::NotReached, Reason::RunLost)));
    let expected = [
        (Stage::Plan, Some(0), Some((Verdict::Passed, Reason::PlanReady))),
        (Stage::Snapshot, None, None),
        lost(Stage::Migrate),
        lost(Stage::Verify),
    ];
    assert_eq!(short(&ended), expected, "{ended:#?}");
    assert_eq!(scene.history_table().await, ["1_init applied"]);
}

#[tokio::test]
async fn a_password_is_in_no_message_no_log_and_no_argument_list() {
    const PASSWORD: &str = "s3cr3t-of-records";
    let mut scene = Scene::new(
        "pod_password",
        &[INIT, ("2_says", &format!("DO $$ BEGIN RAISE EXCEPTION 'it is %', '{PASSWORD}'; END $$;"))],
    )
    .await;
    scene.url = scene.url.replacen(&scene.role, &format!("{}:{PASSWORD}", scene.role), 1);
    let mut pod = Pod::start(&scene, IN_ORDER);
    for child in pod.containers.values() {
        let arguments =
            child.id().and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&arguments).contains(PASSWORD));
    }
    let ended = pod.ended().await;
    let outcome = ended[2].2.as_ref().expect("an Outcome");
    assert!(
        outcome.reason == Reason::MigrationFailed && outcome.message.contains("RAISE \"it is %\""),
        "{outcome:#?}"
    );
    for entry in fs::read_dir(pod.folder.path()).expect("lists").map(|entry| entry.expect("an entry").path())
    {
        let files = if entry.is_dir() {
            fs::read_dir(&entry).expect("lists").map(|e| e.expect("an entry").path()).collect()
        } else {
            vec![entry]
        };
        for file in files {
            assert!(!fs::read_to_string(&file).expect("reads").contains(PASSWORD), "{}", file.display());
        }
    }
}

#[tokio::test]
async fn the_stages_of_a_pod_find_each_phase_where_it_is_mounted() {
    let scene =
        phases::scene("four_phases", &[phases::PATIENTS], &[phases::TYPES, phases::POLICIES, phases::INDEX])
            .await;
    let ended = Pod::start(&scene, IN_ORDER).ended().await;
    assert!(ended.iter().all(|(_, code, _)| *code == Some(0)), "{ended:#?}");
    let history = ended[3].2.as_ref().and_then(|outcome| outcome.history.clone()).expect("a history");
    assert_eq!((history.applied_count, history.current.as_deref()), (4, Some(phases::PATIENTS.0)));
    fs::rename(scene.folder.path().join("security"), scene.folder.path().join("moved")).expect("moves it");
    let ended = Pod::start(&scene, IN_ORDER).ended().await;
    let plan = ended[0].2.as_ref().expect("an Outcome");
    assert_eq!((plan.verdict, plan.reason), (Verdict::Failed, Reason::SourceNotFound));
    assert!(plan.message.contains("the phase \"security\" has no folder"), "{}", plan.message);
}

#[tokio::test]
async fn a_pod_says_how_far_it_is_while_a_migration_runs_and_no_longer() {
    // Two messages that the server answers late: a release in one transaction, and a statement alone.
    let slow = ("2_slow", "CREATE TABLE u (x int);\nSELECT pg_sleep(600);\n");
    let alone =
        ("2_alone", "-- sluice: no-transaction\nCREATE TABLE u (x int);\nSELECT pg_sleep(600);\nSELECT 1;\n");
    for (files, expected) in [(slow, "2_slow (2 of 2)"), (alone, "2_alone (2 of 2), statement 2 of 3")] {
        let scene = Scene::new("says_how_far", &[INIT, files]).await;
        let mut pod = Pod::start(&scene, BACKWARDS);
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], pod.port));
        let pending = [INIT.0.to_owned(), files.0.to_owned()];
        let says = || async {
            let answer = fetch(address).await?;
            Some(Progress::from_answer(&answer, &pending, jiff::Timestamp::now())?.summary())
        };
        until(expected, || async { says().await.as_deref() == Some(expected) }).await;
        pod.kill(Stage::Migrate).await;
        pod.end(Stage::Verify).await;
        assert_eq!(says().await, None, "a process that has ended says nothing");
    }
}

#[tokio::test]
async fn with_a_rehearsal_five_processes_run_one_after_the_other_and_the_record_has_every_statement() {
    let scene = Scene::new("five", &[INIT])
        .await
        .with("snapshot", "{dump: {volumeClaim: records-snapshots}}")
        .with("before", "{rehearsal: {on: Snapshot}}");
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    let order = [Stage::Migrate, Stage::Rehearse, Stage::Verify, Stage::Plan, Stage::Snapshot];
    let ended = Pod::start(&scene, order).ended().await;
    let passed = |stage, reason| (stage, Some(0), Some((Verdict::Passed, reason)));
    let expected = [
        passed(Stage::Plan, Reason::PlanReady),
        passed(Stage::Snapshot, Reason::SnapshotTaken),
        passed(Stage::Rehearse, Reason::Rehearsed),
        passed(Stage::Migrate, Reason::Applied),
        passed(Stage::Verify, Reason::Verified),
    ];
    assert_eq!(short(&ended), expected, "{ended:#?}");
    let url = ConnectionUrl::parse(&scene.url).expect("a URL");
    let digest = ended[4].2.as_ref().and_then(|outcome| outcome.record.clone());
    let (_, record) = read_record(&url, digest.as_deref()).await.expect("is read");
    let rehearsal = record.rehearsal.expect("the record has the rehearsal");
    assert_eq!(rehearsal.statements().count(), 2, "{rehearsal:#?}");
}
