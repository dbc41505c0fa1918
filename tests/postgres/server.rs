//! The PostgreSQL server of this test process, and the databases on it.
//!
//! A small shell holds the server: it reads its standard input, and when that ends, because the test process
//! ended in whatever way, it stops the server and removes the data. So nothing stays behind after a panic,
//! Ctrl-C or SIGKILL.

#![allow(clippy::panic, reason = "what cannot be set up ends the test")]

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, postgres::PgConnectOptions};

/// Starts a server in a folder of its own, says where, and stops it at the end of the input. `$1` is the
/// folder of the binaries, `$2` the port, `$3` the addresses. Pods of the local cluster need a password.
/// `$4`, if it is not empty, is a folder with more `settings`, other rules (`hba`), and a certificate with
/// its key. `$5`, if it is not empty, is the folder of the socket of a server at port `$6`, whose standby it
/// is.
const KEEPER: &str = r#"
set -eu
home=$(mktemp -d -t sluice-postgres.XXXXXX)
trap 'rm -rf "$home"' EXIT
mkdir "$home/socket"
cat > "$home/settings" <<END
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
listen_addresses = '$3'
port = $2
unix_socket_directories = '$home/socket'
log_min_messages = fatal
END
# A copy while the other server works, as pg_basebackup takes one, which not every package has.
copy() {
  "$1/psql" -XAtq -v ON_ERROR_STOP=1 -h "$2" -p "$3" -U postgres -d postgres <<END &&
\o $home/start
SELECT pg_backup_start('standby', true);
\! cp -a '$2/../data' '$home/data' 2>/dev/null
\o $home/label
SELECT labelfile FROM pg_backup_stop(false);
END
  rm -f "$home/data/postmaster.pid" "$home"/data/pg_wal/0* && mv "$home/label" "$home/data/backup_label" &&
  echo "primary_conninfo = 'host=$2 port=$3 user=postgres'" >>"$home/settings" &&
  touch "$home/data/standby.signal"
}
if if [ -z "$5" ]
  then "$1/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N
  else copy "$1" "$5" "$6"
  fi >"$home/log" 2>&1 &&
  cat "$home/settings" >>"$home/data/postgresql.conf" &&
  echo "host all all 10.0.0.0/8 scram-sha-256" >>"$home/data/pg_hba.conf" &&
  { [ -z "$4" ] || {
    cp "$4/server.crt" "$4/server.key" "$home/data" && chmod 600 "$home/data/server.key" &&
      cat "$4/settings" >>"$home/data/postgresql.conf" && cp "$4/hba" "$home/data/pg_hba.conf"
  }; } &&
  "$1/pg_ctl" -D "$home/data" -l "$home/log" -t 60 -w -s start >/dev/null 2>&1
then
  echo "$home"
  cat >/dev/null || true
  "$1/pg_ctl" -D "$home/data" -m immediate -w -s stop >/dev/null 2>&1 || true
else
  cat "$home/log" >&2
fi
"#;

/// A running PostgreSQL server.
pub struct Server {
    /// The folder of its binaries, `psql` and `pg_dump` among them.
    pub bin: PathBuf,
    /// The folder of its socket.
    pub socket: PathBuf,
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
    /// 15 for PostgreSQL 15.
    pub major: u32,
    /// Holds the other end of the keeper's input: it must live as long as the process.
    _keeper: Child,
}

/// A database of its own for one test. The superuser `postgres` owns it; no role needs a password.
pub struct Database {
    /// For the superuser, over TCP.
    pub url: String,
    /// Unique on the server. Roles belong to the whole server, so a test derives their names from this one.
    pub name: String,
}

impl Server {
    /// The server of this process; the first caller waits about a second for it.
    pub fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let bin = binaries();
            // Between finding a free port and taking it another process may have taken it.
            (0..5).find_map(|_| Self::start(&bin, "", None)).expect("PostgreSQL starts; its log stands above")
        })
    }

    /// An empty database whose name begins like the test's.
    pub async fn database(&self, test: &str) -> Database {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let mut name: String =
            test.chars().take(40).filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        name.make_ascii_lowercase();
        write!(name, "_{}", COUNTER.fetch_add(1, Ordering::Relaxed)).expect("a String takes every text");
        let mut administrator = connect(&self.url("postgres", "postgres")).await;
        execute(&mut administrator, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Database { url: self.url("postgres", &name), name }
    }

    /// The URL of a database for a role. The server has no certificate.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Another one, of these binaries or those of this process, with what is in a folder: see the keeper's
    /// `$4`.
    pub fn another(bin: Option<&Path>, extra: Option<&Path>) -> Self {
        let bin = bin.map_or_else(binaries, Path::to_owned);
        let extra = extra.map_or("", |extra| extra.to_str().expect("a path in UTF-8"));
        (0..5).find_map(|_| Self::start(&bin, extra, None)).expect("PostgreSQL starts; its log stands above")
    }

    /// A standby of this one.
    pub fn standby(&self) -> Self {
        let standby = (0..5).find_map(|_| Self::start(&self.bin, "", Some(self)));
        standby.expect("the standby starts; its log stands above")
    }

    fn start(bin: &Path, extra: &str, primary: Option<&Self>) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let mut command = unprivileged();
        command
            .args(["sh", "-c", KEEPER, "keeper"])
            .arg(bin)
            .arg(port.to_string())
            .arg(addresses())
            .arg(extra)
            .arg(primary.map_or(Path::new(""), |primary| &primary.socket))
            .arg(primary.map_or(0, |primary| primary.port).to_string());
        // A process group of its own: Ctrl-C in the terminal must reach the test, not the keeper.
        let mut keeper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the keeper starts");
        let mut home = String::new();
        BufReader::new(keeper.stdout.take().expect("its output is a pipe"))
            .read_line(&mut home)
            .expect("the keeper speaks");
        if home.is_empty() {
            keeper.wait().expect("the keeper ends");
            return None;
        }
        let home = PathBuf::from(home.trim_end());
        Some(Self {
            bin: bin.to_owned(),
            socket: home.join("socket"),
            port,
            major: major(bin),
            _keeper: keeper,
        })
    }
}

impl Database {
    /// The URL for a role, which the test has created with LOGIN.
    pub fn url_as(&self, role: &str) -> String {
        Server::get().url(role, &self.name)
    }

    /// A session of the superuser.
    pub async fn connect(&self) -> PgConnection {
        connect(&self.url).await
    }

    /// Runs a script as the superuser; each call is a session of its own.
    pub async fn execute(&self, script: &str) {
        execute(&mut self.connect().await, script).await;
    }
}

/// A plain session, with none of the settings that Sluice's own have.
pub async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL of this file");
    options
        .disable_statement_logging()
        .connect()
        .await
        .unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
}

/// Runs a script of one or more statements.
pub async fn execute(connection: &mut PgConnection, script: &str) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(script)).execute(connection).await {
        panic!("{error}\nin {script}");
    }
}

/// `PG_BIN`, or the newest that Debian installed.
fn binaries() -> PathBuf {
    if let Some(folder) = std::env::var_os("PG_BIN") {
        return folder.into();
    }
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let newest = installed.filter(|bin| bin.join("initdb").exists()).max_by_key(|bin| major(bin));
    newest.expect(
        "PostgreSQL is installed: apt-get install postgresql, or set PG_BIN to the folder that holds initdb",
    )
}

/// The host's side of the local cluster, too, where there is one: Pods reach the server there.
pub const FROM_PODS: &str = "10.99.0.1";

fn addresses() -> String {
    match TcpListener::bind((FROM_PODS, 0)) {
        Ok(_) => format!("127.0.0.1,{FROM_PODS}"),
        Err(_) => "127.0.0.1".to_owned(),
    }
}

/// The first number of `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major(bin: &Path) -> u32 {
    let output =
        Command::new(bin.join("postgres")).arg("--version").output().expect("postgres --version runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .split_whitespace()
        .nth(2)
        .and_then(|version| version.split(|c: char| !c.is_ascii_digit()).next());
    version
        .and_then(|major| major.parse().ok())
        .unwrap_or_else(|| panic!("not a version of PostgreSQL: {text:?}"))
}

/// PostgreSQL refuses to run as root: root becomes `postgres`, or `nobody` where that user does not exist.
fn unprivileged() -> Command {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status
        .lines()
        .any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")));
    if !root {
        return Command::new("env");
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = if users.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use sqlx::Row;

    use super::*;

    #[tokio::test]
    async fn each_test_has_a_database_of_its_own() {
        let (one, two) = (Server::get().database("same").await, Server::get().database("same").await);
        one.execute("CREATE TABLE only_here (); CREATE TABLE and_there ()").await;
        let tables = sqlx::query("SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'only_here'");
        let found: i64 = tables.fetch_one(&mut two.connect().await).await.expect("counts").get(0);
        assert_eq!(found, 0);
    }

    /// Started by the test below, never by itself.
    #[test]
    #[ignore = "waits to be killed"]
    fn holds_a_server_until_it_is_killed() {
        println!("socket={}", Server::get().socket.display());
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn the_server_and_its_data_are_gone_after_the_test_process_was_killed() {
        let mut victim = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "server::tests::holds_a_server_until_it_is_killed", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the victim starts");
        let mut lines =
            BufReader::new(victim.stdout.take().expect("its output is a pipe")).lines().map_while(Result::ok);
        let socket = lines.find_map(|line| line.split_once("socket=").map(|(_, path)| path.to_owned()));
        let home =
            PathBuf::from(socket.expect("the victim says where")).parent().expect("a folder").to_owned();
        let pid = fs::read_to_string(home.join("data/postmaster.pid")).expect("a server runs there");
        let process = PathBuf::from(format!("/proc/{}", pid.lines().next().expect("its process id")));
        assert!(process.exists());

        victim.kill().expect("SIGKILL is sent");
        victim.wait().expect("the victim is gone");
        let deadline = Instant::now() + Duration::from_secs(20);
        while process.exists() || home.exists() {
            assert!(Instant::now() < deadline, "{} or {} is still there", process.display(), home.display());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}
