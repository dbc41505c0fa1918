//! Who may read a connection, and whose server it is: on real servers with and without TLS, with a
//! certificate of another authority or for another host, that ask for the password in clear. A session and
//! `pg_dump` come to the same end each time.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use sluice::{
    api::Reason,
    postgres::{ConnectionUrl, connect},
};

use crate::{
    server::{self, Server, execute},
    stage_scene::{Scene, finish, said, value},
};

/// A server with a certificate for `localhost`, and the files of its authority and of another one.
struct Encrypted {
    server: Server,
    folder: tempfile::TempDir,
}

const SCRIPT: &str = "set -e; cd \"$1\"; key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $key -keyout ca.key -out ca.crt -days 2 -subj /CN=sluice-test
openssl req -x509 $key -keyout other.key -out other.crt -days 2 -subj /CN=somebody-else
openssl req $key -keyout server.key -out server.csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost\\n' >names
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile \
names
chmod 644 server.key";

impl Encrypted {
    fn get() -> &'static Self {
        static ENCRYPTED: OnceLock<Encrypted> = OnceLock::new();
        ENCRYPTED.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect(
                "the server may \
                look",
            );
            let made = Command::new("sh")
                .args(["-c", SCRIPT, "sh"])
                .arg(folder.path())
                .output()
                .expect("openssl is there");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            fs::write(folder.path().join("settings"), "ssl = on\n").expect("writes");
            let rules = "local all all trust\nhost all clear 127.0.0.1/32 password\nhost all clear ::1/128 \
                    password\nhost all all all trust\n";
            fs::write(folder.path().join("hba"), rules).expect("writes");
            Self { server: Server::another(None, Some(folder.path())), folder }
        })
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn administrator(&self) -> sqlx::PgConnection {
        server::connect(&format!(
            "postgres://postgres@localhost/postgres?host={}&port={}",
            self.server.socket.display(),
            self.server.port
        ))
        .await
    }
}

/// How a session ends: whether it is encrypted, or why there is none.
async fn session(url: &ConnectionUrl) -> Result<bool, Reason> {
    let mut connection = connect(url, "sluice test").await.map_err(|error| error.reason())?;
    Ok(value(
        &mut connection,
        "SELECT (count(*) > 0)::text FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl",
    )
    .await
        == "true")
}

/// Whether `pg_dump` gets in, with the environment that the snapshot stage gives it.
fn dumps(url: &ConnectionUrl) -> bool {
    let mut command = Command::new(Server::get().bin.join("pg_dump"));
    command
        .args(["--schema-only", "--no-password", "--file=/dev/null"])
        .env_clear()
        .envs(url.libpq_environment());
    command.arg(format!("--dbname={}", sluice::postgres::LIBPQ_KEEPALIVES)).stderr(Stdio::null());
    command.status().expect("pg_dump starts").success()
}

fn url(text: &str) -> ConnectionUrl {
    ConnectionUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[tokio::test]
async fn a_server_without_tls_is_refused_unless_the_url_says_so() {
    let database = Server::get().database("no_tls").await;
    let bare = database.url.replace("?sslmode=disable", "");
    for mode in
        ["", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-full", "?ssl=true", "?sslaccept=strict"]
    {
        let url = url(&format!("{bare}{mode}"));
        assert_eq!((session(&url).await, dumps(&url)), (Err(Reason::TlsFailed), false), "{mode}");
    }
    let url = url(&database.url);
    assert_eq!((session(&url).await, dumps(&url)), (Ok(false), true));
}

#[tokio::test]
async fn a_server_is_believed_as_far_as_it_was_asked_to_prove_itself() {
    let encrypted = Encrypted::get();
    let (port, ca, other) = (encrypted.server.port, encrypted.file("ca.crt"), encrypted.file("other.crt"));
    let (known, refused) = ((Ok(true), true), (Err(Reason::TlsFailed), false));
    for (host, query, expected) in [
        ("localhost", String::new(), known),
        ("127.0.0.1", String::new(), known),
        ("127.0.0.1", "sslmode=require".to_owned(), known),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}"), known),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}"), refused),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}"), known),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={other}"), refused),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), refused),
        ("localhost", format!("sslmode=require&sslrootcert={other}"), refused),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere".to_owned(), refused),
        // An authority that only this test knows is none of the system's.
        ("localhost", "sslmode=verify-full".to_owned(), refused),
        ("localhost", "sslmode=disable".to_owned(), (Ok(false), true)),
        // Binding the channel is for the same: it proves whose server it is.
        ("localhost", "sslmode=require&channel_binding=prefer".to_owned(), known),
        ("localhost", format!("sslmode=require&channel_binding=require&sslrootcert={ca}"), known),
        ("127.0.0.1", format!("sslmode=require&channel_binding=require&sslrootcert={ca}"), refused),
        ("localhost", format!("sslmode=require&channel_binding=require&sslrootcert={other}"), refused),
        ("localhost", "sslmode=require&channel_binding=require".to_owned(), refused),
    ] {
        let url = url(&format!("postgres://postgres@{host}:{port}/postgres?{query}"));
        assert_eq!((session(&url).await, dumps(&url)), expected, "{host} {query}");
    }
}

/// What hosts such as Neon write into their addresses is a mode that no user wrote, so its failure says where
/// it comes from.
#[tokio::test]
async fn where_channel_binding_asks_for_a_certificate_that_is_not_known_it_is_said() {
    let encrypted = Encrypted::get();
    let at = format!(
        "postgres://postgres@localhost:{}/postgres?sslmode=require&channel_binding=require",
        encrypted.server.port
    );
    let told = connect(&url(&at), "sluice test").await.expect_err("its authority is not known").to_string();
    assert!(
        told.contains("sslmode=verify-full")
            && told.contains("channel_binding=require stands for verify-full"),
        "{told}"
    );
    let told = connect(&url(&at.replace("&channel_binding=require", "")), "sluice test").await;
    assert!(told.is_ok(), "it is the binding that asks: {told:?}");
    let socket = format!(
        "postgres://postgres@/postgres?host={}&channel_binding=require",
        encrypted.server.socket.display()
    );
    assert!(ConnectionUrl::parse(&socket).is_err_and(|error| error.to_string().contains("a unix socket")));
}

#[tokio::test]
async fn a_password_is_given_in_clear_over_tls_only() {
    let encrypted = Encrypted::get();
    let mut administrator = encrypted.administrator().await;
    execute(&mut administrator, "CREATE ROLE clear LOGIN SUPERUSER PASSWORD 's3cret-word'").await;
    let at = format!("postgres://clear:s3cret-word@127.0.0.1:{}/postgres", encrypted.server.port);
    assert_eq!((session(&url(&at)).await, dumps(&url(&at))), (Ok(true), true));
    let error = connect(&url(&format!("{at}?sslmode=disable")), "sluice test").await.expect_err("in clear");
    assert_eq!(error.reason(), Reason::TlsFailed, "{error}");
    // Older client tools cannot be told.
    if Server::get().major >= 16 {
        assert!(!dumps(&url(&format!("{at}?sslmode=disable"))));
    }
    let text = error.to_string();
    assert!(
        text.contains("in clear") && text.contains("scram-sha-256") && !text.contains("s3cret-word"),
        "{text}"
    );
}

#[tokio::test]
async fn nothing_of_the_environment_changes_how_a_connection_is_encrypted() {
    let scene = Scene::new("environment", &[("1_t", "CREATE TABLE t ();")]).await;
    for (name, value) in [
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/nowhere"),
        ("PGREQUIRESSL", "1"),
        ("PGPASSWORD", "x"),
    ] {
        let mut command = scene.command("plan");
        command.env(name, value);
        let output = finish(command).await;
        assert!(said(&output).contains("connected with sslmode=disable"), "{name}: {}", said(&output));
    }
}

#[tokio::test]
async fn the_authority_of_the_manifest_is_asked_and_never_forgotten() {
    let encrypted = Encrypted::get();
    let scene = Scene::new("authority", &[("1_t", "CREATE TABLE t ();")]).await;
    let scene =
        scene.with("database", "{secretRef: {name: records-db}, tls: {caFrom: {configMap: records-ca}}}");
    let mut administrator = encrypted.administrator().await;
    execute(&mut administrator, "CREATE DATABASE authority").await;
    let at = |host: &str, query: &str| {
        format!("postgres://postgres@{host}:{}/authority{query}", encrypted.server.port)
    };
    let (ca, other): (PathBuf, PathBuf) =
        (encrypted.file("ca.crt").into(), encrypted.file("other.crt").into());
    for (url, authority, expected) in [
        (at("localhost", ""), Some(&ca), "connected with sslmode=verify-full"),
        (at("localhost", "?sslmode=require"), Some(&ca), "connected with sslmode=verify-full"),
        (at("127.0.0.1", ""), Some(&ca), "sslmode=verify-full: "),
        (at("localhost", ""), Some(&other), "sslmode=verify-full: "),
        (at("localhost", ""), None, "set SLUICE_DATABASE_CA"),
        (
            at("localhost", "?sslmode=disable"),
            Some(&ca),
            "sslmode=disable contradicts spec.database.tls.caFrom",
        ),
    ] {
        let mut command = scene.command("plan");
        command.env("DATABASE_URL", &url).env_remove("SLUICE_DATABASE_CA");
        command.envs(authority.map(|path: &PathBuf| ("SLUICE_DATABASE_CA", Path::new(path))));
        let output = finish(command).await;
        assert!(said(&output).contains(expected), "{url} {authority:?}: {}", said(&output));
    }
}
