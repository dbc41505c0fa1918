//! Servers that Sluice must not work with, the real ones: PostgreSQL 14, PgBouncer that shares its
//! connections, and a name that no database has.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sluice::{
    api::{Class, Reason},
    contract::Stage,
};

use crate::{
    server::{self, Server},
    stage_scene::Scene,
};

/// Runs in a shell that ends, and PgBouncer with it, when the test has gone.
const KEEPER: &str = "\"$@\" & trap 'kill $!' EXIT; cat >/dev/null";

/// PgBouncer in transaction mode before the server of the tests.
struct Pooler {
    port: u16,
    _keeper: Child,
    _folder: tempfile::TempDir,
}

impl Pooler {
    fn start(settings: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("PgBouncer may look");
        let file = folder.path().join("pgbouncer.ini");
        let server = Server::get().port;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\nlisten_addr = \
                127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             unix_socket_dir =\npool_mode = transaction\nlogfile = {0}/log\n{settings}\n",
            folder.path().display()
        );
        fs::write(&file, text).expect("writes");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper", "pgbouncer", "--quiet"]).arg("--user").arg("nobody").arg(&file);
        let keeper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("sh starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || {
                fs::read_to_string(folder.path().join("log"))
                    .unwrap_or_else(|_| "PgBouncer is missing: apt-get install pgbouncer".to_owned())
            };
            assert!(Instant::now() < deadline, "{}", log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Self { port, _keeper: keeper, _folder: folder }
    }
}

#[tokio::test]
async fn pgbouncer_is_recognised_whether_it_refuses_or_ignores_the_settings_of_a_session() {
    for settings in [
        "",
        "ignore_startup_parameters = options,extra_float_digits",
        "server_reset_query_always = 1\nignore_startup_parameters = options,extra_float_digits,search_path",
    ] {
        let pooler = Pooler::start(settings);
        let mut scene = Scene::new("pooled", &[("1_t", "CREATE TABLE t ();")]).await;
        scene.url = scene.url.replace(&format!(":{}/", Server::get().port), &format!(":{}/", pooler.port));
        let before = scene.catalog().await;
        let outcome = scene.stopped(Stage::Plan, Reason::DirectConnectionRequired).await;
        assert!(
            outcome.message.contains("pooler") && outcome.message.contains("the server itself"),
            "{settings}: {}",
            outcome.message
        );
        assert_eq!(scene.catalog().await, before);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_and_not_created() {
    let mut scene = Scene::new("misspelt", &[("1_t", "CREATE TABLE t ();")]).await;
    scene.url = scene.url.replace(&format!("/{}?", scene.database.name), "/recrods?");
    let outcome = scene.stopped(Stage::Plan, Reason::DatabaseNotFound).await;
    assert!(
        outcome.message.contains("\"recrods\"") && outcome.message.contains("never creates one"),
        "{}",
        outcome.message
    );
    assert_eq!(scene.value("SELECT count(*)::text FROM pg_database WHERE datname = 'recrods'").await, "0");
}

#[tokio::test]
async fn a_role_that_may_not_connect_is_told_with_the_statement_that_lets_it_and_whatever_ends_by_itself_is_retried()
 {
    let scene = Scene::new("no_login", &[("1_t", "CREATE TABLE t ();")]).await;
    let (role, database) = (&scene.role, &scene.database.name);
    let login = format!("ALTER ROLE \"{role}\" LOGIN");
    let connect = format!("GRANT CONNECT ON DATABASE \"{database}\" TO \"{role}\"");
    let room = format!("ALTER ROLE {role} CONNECTION LIMIT -1");
    let rename = format!("ALTER ROLE {role}_away RENAME TO {role}");
    for (takes, gives, reason, class, words) in [
        (
            format!("ALTER ROLE {role} NOLOGIN"),
            &login,
            Reason::PrivilegesMissing,
            Class::NeedsUser,
            login.as_str(),
        ),
        (
            format!("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC, {role}"),
            &connect,
            Reason::PrivilegesMissing,
            Class::NeedsUser,
            &connect,
        ),
        // 53300, and 28000 for another cause: both may be over at the next attempt, and a Secret can be
        // corrected.
        (
            format!("ALTER ROLE {role} CONNECTION LIMIT 0"),
            &room,
            Reason::ConnectionFailed,
            Class::Transient,
            "too many connections",
        ),
        (
            format!("ALTER ROLE {role} RENAME TO {role}_away"),
            &rename,
            Reason::ConnectionFailed,
            Class::Transient,
            "does not exist",
        ),
    ] {
        scene.database.execute(&takes).await;
        let outcome = scene.stopped(Stage::Plan, reason).await;
        assert_eq!(reason.class(), class);
        assert!(
            outcome.message.contains(words) && outcome.message.contains(role.as_str()),
            "{takes}: {}",
            outcome.message
        );
        scene.database.execute(gives).await;
    }
    scene.ready().await;
}

#[tokio::test]
async fn postgresql_14_is_refused_before_anything_changes() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/oldest/with-server");
    let mut command = Command::new(script);
    let mut holder = command
        .args(["sh", "-c", "echo \"$OLD_PG_BIN\"; cat >/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the script starts");
    let mut bin = String::new();
    BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut bin).expect("it says where");
    {
        let old = Server::another(Some(Path::new(bin.trim_end())), None);
        assert_eq!(old.major, 14);
        let scene = Scene::on(&old, "oldest", &[("1_t", "CREATE TABLE t ();")]).await;
        let outcome = scene.stopped(Stage::Plan, Reason::ServerTooOld).await;
        assert!(
            outcome.message.contains("PostgreSQL 14") && outcome.message.contains("needs 15"),
            "{}",
            outcome.message
        );
        let mut session = server::connect(&scene.database.url).await;
        assert_eq!(
            crate::stage_scene::value(
                &mut session,
                "SELECT count(*)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
            .await,
            "0"
        );
    }
    drop(holder.stdin.take());
    holder.wait().expect("it ends");
}
