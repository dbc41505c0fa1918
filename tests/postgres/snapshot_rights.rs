//! What a role may not read is no snapshot, and no password shows.

use std::{
    fs,
    process::{Command, Stdio},
};

use sluice::{api::Reason, postgres::ConnectionUrl};
use sqlx::Row;

use crate::server::{Database, Server};
use crate::snapshot::{CLINIC, Scene, eventually, restore};

#[tokio::test]
async fn rows_hidden_by_row_level_security_are_no_snapshot() {
    let script = "create table visits (id int, clinic text); insert into visits values (1, 'a'), (2, 'b'); \
        create table plain (id int);
                  alter table visits enable row level security; create policy own on visits using (clinic = \
                  current_setting('app.clinic', true));";
    let mut scene = Scene::new("snapshot_rls", script).await;
    let role = format!("{}_reader", scene.database.name);
    scene
        .database
        .execute(&format!("create role {role} login; grant select on visits, plain to {role}"))
        .await;
    scene.url = ConnectionUrl::parse(&scene.database.url_as(&role)).expect("a URL");
    let error = scene.take().await.expect_err("one clinic's rows are not all rows");
    assert_eq!(error.reason(), Reason::SnapshotIncomplete, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("on public.visits;") && text.contains(&format!("ALTER ROLE \"{role}\" BYPASSRLS")),
        "{text}"
    );
    assert_eq!(scene.snapshots(), [] as [String; 0], "nothing was even begun");

    scene.database.execute(&format!("alter role {role} bypassrls")).await;
    scene.take().await.expect("now it sees every row");
    let (_, target) =
        restore(&scene.folder().join(&scene.snapshots()[0]).join("dump"), "snapshot_rls_restored").await;
    let rows: i64 = sqlx::query("select count(*) from visits")
        .fetch_one(&mut target.connect().await)
        .await
        .expect("counts")
        .get(0);
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn an_owner_under_forced_row_level_security_is_no_snapshot_either() {
    let mut scene = Scene::new("snapshot_forced", "create table visits (id int)").await;
    let role = format!("{}_owner", scene.database.name);
    let script = format!(
        "create role {role} login; alter table visits owner to {role}; alter table visits enable row level \
            security"
    );
    scene.database.execute(&script).await;
    scene.url = ConnectionUrl::parse(&scene.database.url_as(&role)).expect("a URL");
    scene.take().await.expect("an owner sees every row of its own table");
    scene.database.execute("alter table visits force row level security").await;
    assert_eq!(scene.take().await.expect_err("no longer").reason(), Reason::SnapshotIncomplete);
}

#[tokio::test]
async fn a_table_the_role_may_not_read_is_named() {
    let mut scene = Scene::new("snapshot_denied", "create table secrets_of_others (id int)").await;
    let role = format!("{}_reader", scene.database.name);
    scene.database.execute(&format!("create role {role} login")).await;
    scene.url = ConnectionUrl::parse(&scene.database.url_as(&role)).expect("a URL");
    let error = scene.take().await.expect_err("it may not");
    assert_eq!(error.reason(), Reason::PrivilegesMissing, "{error}");
    assert!(error.to_string().contains("secrets_of_others"), "{error}");
}

#[tokio::test]
async fn a_password_is_neither_an_argument_nor_in_any_message() {
    const PASSWORD: &str = "s3cr@t:/+%&";
    const ENCODED: &str = "s3cr%40t%3A%2F%2B%25%26";
    let mut scene = Scene::new("snapshot_password", CLINIC).await;
    let role = format!("{}_locked", scene.database.name);
    scene.database.execute(&format!("create role {role} login superuser password '{PASSWORD}'")).await;
    demand_password(&scene.database, &role).await;
    let at = at_socket(&scene.database);
    let url =
        |password: &str| ConnectionUrl::parse(&format!("postgres://{role}:{password}@{at}")).expect("a URL");

    scene.url = url("wr0ng-w0rd");
    let error = scene.take().await.expect_err("the password is wrong");
    assert_eq!(error.reason(), Reason::ConnectionFailed, "{error}");
    assert!(!format!("{error} {error:?}").contains("wr0ng-w0rd"), "{error:?}");

    // A tool that says everything it knows.
    scene.url = url(ENCODED);
    scene.wrap("pg_dump", "env >&2; echo \"$@\" >&2; exit 1");
    let error = scene.take().await.expect_err("the tool fails");
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");

    scene.wrap(
        "pg_dump",
        "tr '\\0' ' ' < /proc/$$/cmdline > \"$here/seen\"; tr '\\0' '\\n' < \
        /proc/$$/environ > \"$here/environment\"; exec \"$real\" \"$@\"",
    );
    scene.take().await.expect("the right password, through the environment alone");
    let (seen, environment) = (
        fs::read_to_string(scene.beside_the_tools("seen")),
        fs::read_to_string(scene.beside_the_tools("environment")),
    );
    assert!(
        seen.as_ref().is_ok_and(|seen| seen.contains("--format=custom") && !seen.contains(PASSWORD)),
        "{seen:?}"
    );
    assert!(
        environment.is_ok_and(|environment| environment.contains(&format!("PGPASSWORD={PASSWORD}"))),
        "the control sees it there"
    );
    let manifest = fs::read_to_string(scene.folder().join(&scene.snapshots()[0]).join("manifest.json"))
        .expect("a manifest");
    assert!(!manifest.contains(PASSWORD) && !manifest.contains(ENCODED), "{manifest}");
}

/// A database through the server's socket, where no client tool is too old to be given a password.
fn at_socket(database: &Database) -> String {
    let server = Server::get();
    format!("/{}?host={}&port={}", database.name, server.socket.display(), server.port)
}

/// Makes the server ask one role for its password at its socket; every other role comes in without, as
/// before.
async fn demand_password(database: &Database, role: &str) {
    let rules = Server::get().socket.parent().expect("the server's folder").join("data/pg_hba.conf");
    let old = fs::read_to_string(&rules).expect("reads the rules");
    fs::write(&rules, format!("local all {role} scram-sha-256\n{old}")).expect("writes the rules");
    database.execute("select pg_reload_conf()").await;
    let open = format!("postgres://{role}@{}", at_socket(database));
    let refused = || {
        Command::new(Server::get().bin.join("psql"))
            .args(["--no-password", "-c", "", &open])
            .stderr(Stdio::null())
            .status()
    };
    eventually("the new rule", || refused().is_ok_and(|status| !status.success())).await;
}

#[tokio::test]
async fn a_client_that_would_give_a_password_away_is_not_started_where_others_can_read() {
    let mut scene = Scene::new("snapshot_in_clear", "create table t (id int)").await;
    let at = scene.database.url.split_once('@').expect("an address").1.to_owned();
    scene.url = ConnectionUrl::parse(&format!("postgres://postgres:s3cret@{at}")).expect("a URL");
    for version in ["15.9", "99.1"] {
        scene.wrap("pg_dump", "touch \"$here/started\"; exec \"$real\" \"$@\"");
        let script = fs::read_to_string(scene.beside_the_tools("pg_dump")).expect("reads the script");
        let script = script.replace(
            "--version) exec \"$real\" \"$@\"",
            &format!("--version) echo 'pg_dump {version}'; exit"),
        );
        fs::write(scene.beside_the_tools("pg_dump"), script).expect("writes the script");
        let taken =
            scene.take().await.map_err(|error| (error.reason(), error.to_string().contains("s3cret")));
        let started = scene.beside_the_tools("started").exists();
        assert_eq!(
            (taken.err(), started),
            if version == "99.1" { (None, true) } else { (Some((Reason::ClientTooOld, false)), false) }
        );
    }
}
