//! A backfill waits for replicas that are behind, as far as its directive and the manifest say, and tells so.

use sluice::{
    api::Reason,
    contract::{Rows, Stage},
};

use crate::{
    server::{Server, connect, execute},
    stage_scene::{Scene, run_all, until, value},
};

const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE people (id int PRIMARY KEY, nickname text, name text);\n\
     INSERT INTO people SELECT i, 'n' || i FROM generate_series(1, 1000) AS i;\n",
);
/// A hundred batches, with a pause behind each.
const FILL: &str = "-- sluice: backfill key=id batch=10 pause=10ms\n\
    UPDATE people SET name = nickname WHERE name IS NULL;\n";
const NAMED: &str = "SELECT count(name)::text FROM people";
/// Less than the batches take, and less than the standby delays what it replays.
const MAX_LAG: &str = "max-lag=300ms";

/// A server with a standby that stands still, and a scene on it.
struct Replicated {
    standby: Server,
    /// Lives as long as its databases are used.
    _server: Server,
    scene: Scene,
}

impl Replicated {
    async fn new(test: &str) -> Self {
        let server = Server::another(None, None);
        let scene = Scene::on(&server, test, &[INIT]).await;
        scene.ready().await;
        let standby = server.standby();
        let streams =
            "SELECT (count(*) FILTER (WHERE replay_lsn IS NOT NULL) > 0)::text FROM pg_stat_replication";
        until("the standby streams", || async { scene.value(streams).await == "true" }).await;
        Self { standby, _server: server, scene }
    }

    async fn on_standby(&self, sql: &str) -> String {
        value(&mut connect(&self.standby.url("postgres", &self.scene.database.name)).await, sql).await
    }

    async fn may_see(&self) {
        self.scene.database.execute(&format!("GRANT pg_monitor TO {}", self.scene.role)).await;
    }

    /// Runs, while the standby stands still until the backfill says that it waits.
    async fn waits_until_the_standby_goes_on(&self) {
        let standby = self.standby.url("postgres", "postgres");
        execute(&mut connect(&standby).await, "SELECT pg_wal_replay_pause()").await;
        let context = self.scene.context();
        let (outcomes, ()) = tokio::join!(run_all(&context), async {
            let waits = || async { rows(&context).is_some_and(|rows| rows.waits_for_replica) };
            until("the backfill waits for the standby", waits).await;
            let done: u32 = self.scene.value(NAMED).await.parse().expect("a number");
            assert!(done < 1000, "{done}");
            assert_eq!(self.on_standby(NAMED).await, "0", "it stands still");
            let told = context.progress.now().expect("a stage").summary();
            assert!(told.ends_with("waits for a replica"), "{told}");
            execute(&mut connect(&standby).await, "SELECT pg_wal_replay_resume()").await;
        });
        let last = outcomes.last().expect("a stage");
        assert_eq!((last.stage, last.reason), (Stage::Verify, Reason::Verified), "{}", last.message);
        assert_eq!(self.scene.value(NAMED).await, "1000");
        until("the standby has it all", || async { self.on_standby(NAMED).await == "1000" }).await;
    }
}

fn rows(context: &sluice::stage::Context) -> Option<Rows> {
    context.progress.now().and_then(|progress| progress.rows)
}

#[tokio::test]
async fn a_backfill_waits_for_a_standby_that_stands_still_and_goes_on_with_it() {
    let replicated = Replicated::new("standby").await;
    replicated.may_see().await;
    replicated.scene.write("2_fill", &FILL.replace("pause", &format!("{MAX_LAG} pause")));
    replicated.waits_until_the_standby_goes_on().await;
}

#[tokio::test]
async fn of_the_manifest_and_the_directive_the_smaller_lag_counts() {
    let mut replicated = Replicated::new("standby_manifest").await;
    replicated.may_see().await;
    replicated.scene.set("apply", "{backfill: {maxLag: 300ms}}");
    replicated.scene.write("2_fill", &FILL.replace("pause", "max-lag=1h pause"));
    replicated.waits_until_the_standby_goes_on().await;
}

#[tokio::test]
async fn without_a_lag_that_is_said_no_standby_is_waited_for() {
    let replicated = Replicated::new("standby_unread").await;
    replicated.scene.write("2_fill", FILL);
    let standby = replicated.standby.url("postgres", "postgres");
    execute(&mut connect(&standby).await, "SELECT pg_wal_replay_pause()").await;
    replicated.scene.ready().await;
    assert_eq!(replicated.on_standby(NAMED).await, "0", "it stands still");
    assert_eq!(replicated.scene.value(NAMED).await, "1000");
}

#[tokio::test]
async fn a_standby_that_the_role_may_not_see_is_refused_before_the_first_batch() {
    let mut replicated = Replicated::new("standby_hidden").await;
    replicated.scene.set("apply", "{backfill: {maxLag: 1m}}");
    replicated.scene.write("2_fill", FILL);
    let outcome = replicated.scene.stopped(Stage::Migrate, Reason::PrivilegesMissing).await;
    assert!(outcome.message.contains("GRANT pg_monitor"), "{}", outcome.message);
    assert_eq!(replicated.scene.value(NAMED).await, "0");
    replicated.may_see().await;
    replicated.scene.ready().await;
    assert_eq!(replicated.scene.value(NAMED).await, "1000");
}
