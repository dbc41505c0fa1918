//! Variables of libpq count for nothing, in a session and in `pg_dump`: which server is asked, who asks, and
//! how it behaves is in the URL.

use std::process::Command;

use crate::{
    server::{Server, execute},
    stage_scene::{Scene, finish, said},
};

/// Every variable that libpq or the driver reads, each with a value that would stop the run or change what it
/// does.
const HOSTILE: [(&str, &str); 34] = [
    ("PGHOST", "nowhere.invalid"),
    ("PGHOSTADDR", "192.0.2.1"),
    ("PGPORT", "1"),
    ("PGDATABASE", "nowhere"),
    ("PGUSER", "nobody"),
    ("PGPASSWORD", "of-nobody"),
    ("PGPASSFILE", "/dev/full"),
    ("PGREQUIREAUTH", "gss"),
    ("PGCHANNELBINDING", "require"),
    ("PGSERVICE", "nowhere"),
    ("PGSERVICEFILE", "/dev/null"),
    ("PGOPTIONS", "-c session_replication_role=replica"),
    ("PGAPPNAME", "somebody else"),
    ("PGSSLMODE", "verify-full"),
    ("PGREQUIRESSL", "1"),
    ("PGSSLCOMPRESSION", "1"),
    ("PGSSLCERT", "/nowhere/a"),
    ("PGSSLKEY", "/nowhere/b"),
    ("PGSSLCERTMODE", "require"),
    ("PGSSLROOTCERT", "/nowhere/c"),
    ("PGSSLCRL", "/nowhere/d"),
    ("PGSSLCRLDIR", "/nowhere"),
    ("PGSSLSNI", "0"),
    ("PGSSLNEGOTIATION", "direct"),
    ("PGREQUIREPEER", "nobody"),
    ("PGGSSENCMODE", "require"),
    ("PGKRBSRVNAME", "nobody"),
    ("PGGSSLIB", "gssapi"),
    ("PGCONNECT_TIMEOUT", "x"),
    ("PGCLIENTENCODING", "LATIN1"),
    ("PGTARGETSESSIONATTRS", "standby"),
    ("PGLOADBALANCEHOSTS", "random"),
    ("PGDATESTYLE", "German"),
    ("PGTZ", "nowhere/nothing"),
];

const TABLES: &str = "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, \
    parent int REFERENCES parent); CREATE INDEX ON child (parent);";

#[tokio::test]
async fn no_variable_of_libpq_changes_what_a_run_does() {
    let scene = Scene::new("environment", &[("20240101000000_tables", TABLES)])
        .await
        .with("snapshot", "{dump: {volumeClaim: snapshots}}");
    execute(&mut scene.database.connect().await, &format!("ALTER ROLE {} SUPERUSER", scene.role)).await;
    let mut command = scene.command("run");
    command.envs(HOSTILE);
    let output = finish(command).await;
    assert!(output.status.success(), "{}", said(&output));
    // A row whose parent is nowhere: with the PGOPTIONS above, no trigger would look.
    scene.write("20240102000000_orphan", "INSERT INTO child VALUES (1, 42);");
    let mut command = scene.command("run");
    command.envs(HOSTILE);
    let output = finish(command).await;
    assert!(!output.status.success() && said(&output).contains("child_parent_fkey"), "{}", said(&output));
    assert_eq!(scene.value("SELECT count(*)::text FROM child").await, "0");
}

/// That the variable would have let the row in.
#[tokio::test]
async fn a_client_that_reads_pgoptions_lets_the_orphan_in() {
    let database = Server::get().database("environment_psql").await;
    let mut psql = Command::new(Server::get().bin.join("psql"));
    psql.args([
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        TABLES,
        "-c",
        "INSERT INTO child VALUES (1, 42)",
        &database.url,
    ]);
    psql.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    psql.env("PGOPTIONS", "-c session_replication_role=replica");
    let output = finish(psql).await;
    assert!(output.status.success(), "{}", said(&output));
}
