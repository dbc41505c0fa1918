//! `sluice wait`, as an init container runs it: it ends when the version is in the history, and says what it
//! waits for until then.

use std::{
    fs,
    process::{ExitStatus, Stdio},
    time::Instant,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    server::Server,
    stage_scene::{DEADLINE, Scene, finish, said},
};

const FIRST: (&str, &str) = ("1_first", "CREATE TABLE t (x int);");
const SECOND: (&str, &str) = ("2_second", "CREATE INDEX ON t (x);");
const PASSWORD: &str = "s3cr3t-of-records";

/// A running `sluice wait`.
struct Waiting {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Everything it said so far.
    said: String,
}

impl Waiting {
    fn on(url: &str, arguments: &[&str]) -> Self {
        let mut child = command(url, arguments).kill_on_drop(true).spawn().expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        Self { child, lines, said: String::new() }
    }

    /// Its next line; it must come in time.
    async fn line(&mut self) -> String {
        let line =
            tokio::time::timeout(DEADLINE, self.lines.next_line()).await.expect("says something in time");
        let line = line
            .expect("its output is read")
            .unwrap_or_else(|| panic!("it ended after saying {:?}", self.said));
        self.said += &(line.clone() + "\n");
        line
    }

    /// Waits for its end.
    async fn end(mut self) -> (ExitStatus, String) {
        let status = tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .expect("ends in time")
            .expect("has a status");
        while let Some(line) = self.lines.next_line().await.expect("its output is read") {
            self.said += &(line + "\n");
        }
        let mut errors = self.child.stderr.take().expect("its errors are a pipe");
        errors.read_to_string(&mut self.said).await.expect("its errors are read");
        (status, self.said)
    }
}

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command
        .arg("wait")
        .args(arguments)
        .env("DATABASE_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Host, port and database of a scene, as messages name them.
fn place(scene: &Scene) -> String {
    format!("127.0.0.1:{}/{}", Server::get().port, scene.database.name)
}

#[tokio::test]
async fn it_waits_until_the_version_is_in_the_history_and_then_ends_well() {
    let scene = Scene::new("waits", &[FIRST]).await;
    let mut waiting = Waiting::on(&scene.url, &["--require", "records@2_second"]);
    assert_eq!(
        waiting.line().await,
        format!("waiting for 2_second in {}: nothing is applied yet", place(&scene))
    );
    scene.ready().await;
    assert_eq!(
        waiting.line().await,
        format!("waiting for 2_second in {}: the newest applied is 1_first", place(&scene))
    );
    scene.write(SECOND.0, SECOND.1);
    scene.ready().await;
    let (status, said) = waiting.end().await;
    assert!(
        status.success() && said.ends_with(&format!("\n2_second is applied in {}\n", place(&scene))),
        "{status}: {said}"
    );
}

#[tokio::test]
async fn a_version_that_is_applied_lets_it_end_at_once_also_when_newer_ones_are() {
    let scene = Scene::new("applied", &[FIRST, SECOND]).await;
    scene.ready().await;
    for require in ["records@1_first", "2_second"] {
        let (status, said) = Waiting::on(&scene.url, &["--require", require]).end().await;
        assert!(status.success() && said.lines().count() == 1, "{status}: {said}");
    }
}

#[tokio::test]
async fn a_name_that_is_cut_short_is_waited_for_with_a_hint_at_the_whole_one() {
    let scene = Scene::new("cut_short", &[FIRST, SECOND]).await;
    scene.ready().await;
    for (version, hint) in [("2_sec", true), ("3_", false), ("_", false)] {
        let (status, said) =
            Waiting::on(&scene.url, &["--require", version, "--timeout", "200ms"]).end().await;
        assert!(
            status.code() == Some(1)
                && said.contains("is the beginning of 2_second, which is applied") == hint,
            "{status}: {said}"
        );
    }
}

#[tokio::test]
async fn a_migration_that_is_unfinished_or_rolled_back_is_not_applied() {
    let scene = Scene::new("unfinished", &[FIRST]).await;
    scene.ready().await;
    let row =
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, rolled_back_at, finished_at) VALUES";
    scene
        .database
        .execute(&format!(
            "{row} ('u', 'x', '2_unfinished', NULL, NULL), ('r', 'x', '3_rolled_back', now(), NULL)"
        ))
        .await;
    for version in ["2_unfinished", "3_rolled_back"] {
        let (status, said) =
            Waiting::on(&scene.url, &["--require", version, "--timeout", "200ms"]).end().await;
        assert!(
            status.code() == Some(1) && said.contains("the newest applied is 1_first"),
            "{status}: {said}"
        );
    }
}

#[tokio::test]
async fn when_the_time_is_up_it_fails_and_names_version_and_database() {
    let scene = Scene::new("gives_up", &[FIRST]).await;
    scene.ready().await;
    let began = Instant::now();
    let (status, said) =
        Waiting::on(&scene.url, &["--require", "records@2_second", "--timeout", "1500ms"]).end().await;
    assert!(began.elapsed().as_millis() >= 1500, "gave up too early: {:?}", began.elapsed());
    let expected = format!(
        "\nsluice: gave up after 1s500ms of waiting for 2_second in {}: the newest applied is 1_first\n",
        place(&scene)
    );
    assert!(status.code() == Some(1) && said.ends_with(&expected), "{status}: {said}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for_and_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let url = format!("postgres://app:{PASSWORD}@{nobody}/records");
    let (status, said) = Waiting::on(&url, &["--require", "1_first", "--timeout", "300ms"]).end().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("cannot connect to {nobody}/records")) && !said.contains(PASSWORD),
        "{said}"
    );
}

#[tokio::test]
async fn a_url_or_an_argument_that_cannot_be_used_is_told_at_once() {
    let good = format!("postgres://app:{PASSWORD}@127.0.0.1:1/records");
    let (mysql, no_database) =
        (format!("mysql://app:{PASSWORD}@db/records"), format!("postgres://app:{PASSWORD}@db"));
    let pooled = format!("{good}?pgbouncer=true");
    for (url, require, expected) in [
        ("", "1_first", "is not a URL"),
        (PASSWORD, "1_first", "is not a URL"),
        (&mysql, "1_first", "needs a direct postgres:// URL"),
        (&no_database, "1_first", "names no database"),
        (&pooled, "1_first", "leads through a pooler"),
        (&good, "records@", "names no version"),
    ] {
        let (status, said) = Waiting::on(url, &["--require", require]).end().await;
        assert!(
            status.code() == Some(2) && said.starts_with("sluice: ") && said.contains(expected),
            "{url:?} {status}: {said}"
        );
        assert!(!said.contains(PASSWORD), "{said}");
    }
    let mut nothing = command("", &["--require", "1_first"]).into_std();
    nothing.env_remove("DATABASE_URL");
    let output = finish(nothing).await;
    assert!(output.status.code() == Some(2) && said(&output).contains("--database-url"), "{}", said(&output));
}

#[tokio::test]
async fn the_password_is_in_no_argument_list_and_in_no_word_it_says() {
    let scene = Scene::new("no_password", &[FIRST]).await;
    let url = scene.url.replacen(&scene.role, &format!("{}:{PASSWORD}", scene.role), 1);
    let mut waiting = Waiting::on(&url, &["--require", "1_first"]);
    waiting.line().await;
    let pid = waiting.child.id().expect("it runs");
    let shown = fs::read(format!("/proc/{pid}/cmdline")).expect("reads the argument list");
    let shown = String::from_utf8_lossy(&shown).replace('\0', " ");
    assert!(shown.contains("wait --require 1_first") && !shown.contains(PASSWORD), "{shown}");
    let sessions =
        format!("SELECT count(*)::text FROM pg_stat_activity WHERE application_name LIKE '%{PASSWORD}%'");
    assert_eq!(scene.value(&sessions).await, "0");
    scene.ready().await;
    let (status, said) = waiting.end().await;
    assert!(status.success() && !said.contains(PASSWORD), "{status}: {said}");
}

#[tokio::test]
async fn plain_sql_files_and_another_schema_are_found_where_their_history_is() {
    let sql = Scene::new("wait_sql", &[]).await.with("migrations", "{configMaps: [records], format: Sql}");
    fs::write(sql.source().join("1_first.sql"), FIRST.1).expect("writes a file");
    sql.ready().await;
    let (status, said) =
        Waiting::on(&sql.url, &["--require", "1_first", "--format", "Sql", "--timeout", "0s"]).end().await;
    assert!(status.success(), "{said}");
    let (status, said) = Waiting::on(&sql.url, &["--require", "1_first", "--timeout", "0s"]).end().await;
    assert!(status.code() == Some(1) && said.contains("nothing is applied yet"), "{said}");

    let mut schema = Scene::new("wait_schema", &[FIRST])
        .await
        .with("database", "{secretRef: {name: records-db}, schemas: [Clinical]}");
    let plain = schema.url.clone();
    schema.url.push_str("&schema=Clinical");
    schema.ready().await;
    for (url, arguments) in [(&schema.url, [].as_slice()), (&plain, &["--history-schema", "Clinical"])] {
        let arguments = [&["--require", "1_first", "--timeout", "0s"], arguments].concat();
        let (status, said) = Waiting::on(url, &arguments).end().await;
        assert!(status.success(), "{said}");
    }
}

#[tokio::test]
async fn being_told_to_stop_ends_it_before_its_grace_period_does() {
    let scene = Scene::new("wait_stopped", &[]).await;
    let mut waiting = Waiting::on(&scene.url, &["--require", "1_first"]);
    waiting.line().await;
    let pid = waiting.child.id().expect("it runs").to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
    assert!(told.success());
    assert_eq!(waiting.end().await.0.code(), Some(143));
}
