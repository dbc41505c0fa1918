//! A dump by `pg_dump`: which client, which arguments, and what its failures mean.

use std::time::Duration;

use sqlx::PgConnection;

use super::{
    super::{Contents, Product, SnapshotError, Target},
    Dump, process, proof,
    server::{self, Server},
};
use crate::postgres::{LIBPQ_KEEPALIVES, connect};

/// The cheapest gzip. Level 1 takes a third of the time of pg_dump's default and a seventh more space;
/// without compression there would be no checksum of each table for the proof to check.
const COMPRESSION: &str = "--compress=1";
/// How long pg_dump waits for a session that holds a table exclusively. It makes no other session wait
/// meanwhile.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The first major version whose libpq can be told not to give a password in clear (`PGREQUIREAUTH`).
const REQUIRES_METHOD: u32 = 16;

/// A dump that nothing is known to stand in the way of.
#[derive(Debug)]
pub(in super::super) struct Prepared<'a> {
    dump: Dump<'a>,
    connection: PgConnection,
    /// The version of `pg_dump`.
    client: String,
    server: Server,
}

impl<'a> Dump<'a> {
    /// Checks first everything that would make the dump fail after minutes.
    pub(in super::super) async fn prepare(self) -> Result<Prepared<'a>, SnapshotError> {
        let client = client(&self).await?;
        let mut connection =
            connect(self.url, "sluice-snapshot").await.map_err(SnapshotError::Unreachable)?;
        let server = server::describe(&mut connection, self.url).await?;
        Ok(Prepared { dump: self, connection, client, server })
    }
}

impl Prepared<'_> {
    /// Proves a dump that was written, and says what is in it.
    pub(in super::super) async fn read_back(&self, target: &Target) -> Result<Contents, SnapshotError> {
        let ((), contents) = tokio::try_join!(proof::prove(&self.dump, &target.path), proof::digest(target))?;
        Ok(contents)
    }

    /// Writes the dump and proves it. `deadline` is how long the whole snapshot may take.
    pub(in super::super) async fn write(
        mut self,
        target: &Target,
        deadline: Duration,
    ) -> Result<Product, SnapshotError> {
        write(&self.dump, &mut self.connection, target, deadline).await?;
        Ok(Product {
            contents: self.read_back(target).await?,
            server_version: self.server.version,
            wal_lsn: self.server.lsn,
            client_version: self.client,
        })
    }
}

/// The version of `pg_dump`, if it is new enough for the server and keeps the password to itself.
async fn client(dump: &Dump<'_>) -> Result<String, SnapshotError> {
    let finished = process::run(&dump.tools.pg_dump, &["--version"], None).await?;
    let version = finished
        .stdout
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or_default();
    match major(version) {
        Some(client) if client < dump.server_major => {
            Err(SnapshotError::ClientTooOld { client: version.to_owned(), server: dump.server_major })
        }
        Some(client) if client < REQUIRES_METHOD && dump.url.gives_password_in_clear() => {
            Err(SnapshotError::ClientGivesPassword { client: version.to_owned() })
        }
        Some(_) => Ok(version.to_owned()),
        None => Err(failed(dump, format!("`pg_dump --version` said {:?}", process::last_words(&finished)))),
    }
}

/// The major version in `15.18`, `18beta1` and the like.
fn major(version: &str) -> Option<u32> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

/// Writes the dump. `pg_dump` itself waits until it is on the disk.
async fn write(
    dump: &Dump<'_>,
    connection: &mut PgConnection,
    target: &Target,
    deadline: Duration,
) -> Result<(), SnapshotError> {
    // A quarter of the time, so that a deadline that is short still leaves the message about the lock, and
    // the dump itself, some.
    let lock_wait = LOCK_WAIT.min(deadline / 4);
    let mut arguments = vec![
        COMPRESSION.into(),
        "--no-password".into(),
        format!("--lock-wait-timeout={}", lock_wait.as_millis()).into(),
    ];
    match dump.jobs {
        0 | 1 => arguments.push("--format=custom".into()),
        jobs => arguments.extend(["--format=directory".into(), format!("--jobs={jobs}").into()]),
    }
    let mut file = std::ffi::OsString::from("--file=");
    file.push(&target.path);
    arguments.push(file);
    // The rest of where to connect is in the environment.
    arguments.push(format!("--dbname={LIBPQ_KEEPALIVES}").into());
    let finished = process::run(&dump.tools.pg_dump, &arguments, Some(dump.url)).await?;
    if finished.status.success() {
        return Ok(());
    }
    match understand(&finished.stderr) {
        Cause::Locked => {
            let holders = server::lock_holders(connection).await;
            Err(SnapshotError::Locked {
                database: dump.url.database().to_owned(),
                seconds: lock_wait.as_secs(),
                holders,
            })
        }
        cause => Err(explain(dump, target, cause, process::last_words(&finished))),
    }
}

/// What a failure of `pg_dump` means.
#[derive(Debug, PartialEq, Eq)]
enum Cause {
    NoSpace,
    RowsHidden(String),
    Denied,
    Locked,
    Other,
}

/// Reads the cause from what `pg_dump` says. Its own words are English here, the server's may not be: what
/// matters was checked before, and this is the second line.
fn understand(stderr: &str) -> Cause {
    for line in stderr.lines() {
        // The server's disk being full is not the volume's being full.
        let from_server = line.contains("ERROR:") || line.contains("from server");
        if !from_server && (line.contains("No space left on device") || line.contains("Disk quota exceeded"))
        {
            return Cause::NoSpace;
        }
        if line.contains("row-level security policy for table") {
            return Cause::RowsHidden(line.split('"').nth(1).unwrap_or("a table").to_owned());
        }
        if line.contains("permission denied for") {
            return Cause::Denied;
        }
        if line.contains("Query was: LOCK TABLE") {
            return Cause::Locked;
        }
    }
    Cause::Other
}

fn explain(dump: &Dump<'_>, target: &Target, cause: Cause, detail: String) -> SnapshotError {
    let database = dump.url.database().to_owned();
    match cause {
        Cause::NoSpace => SnapshotError::NoSpace { volume: target.volume.clone(), detail },
        Cause::RowsHidden(tables) => SnapshotError::Incomplete { database, role: role(dump), tables },
        Cause::Denied => SnapshotError::Denied { database, role: role(dump), detail },
        Cause::Locked | Cause::Other => failed(dump, detail),
    }
}

fn failed(dump: &Dump<'_>, detail: String) -> SnapshotError {
    SnapshotError::Dump { database: dump.url.database().to_owned(), detail }
}

fn role(dump: &Dump<'_>) -> String {
    let user = dump.url.libpq_environment().into_iter().find(|(name, _)| *name == "PGUSER");
    user.map(|(_, value)| value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_whoever_built_it() {
        for (text, expected) in [
            ("15.18", Some(15)),
            ("18beta1", Some(18)),
            ("9.6.24", Some(9)),
            ("17devel", Some(17)),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(major(text), expected, "{text}");
        }
    }

    #[test]
    fn each_failure_of_pg_dump_is_told_from_the_others() {
        let table = [
            ("pg_dump: error: could not write to output file: No space left on device", Cause::NoSpace),
            (
                "pg_dump: error: could not close TOC file: No space left on device\npg_dump: terminated by \
                    user",
                Cause::NoSpace,
            ),
            ("pg_dump: error: could not write to output file: Disk quota exceeded", Cause::NoSpace),
            (
                "pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy \
                    for table \"visits\"\npg_dump: detail: Query was: COPY clinical.visits (id) TO stdout;",
                Cause::RowsHidden("visits".into()),
            ),
            (
                "pg_dump: error: query failed: ERROR:  permission denied for table t\npg_dump: detail: Query \
                    was: LOCK TABLE public.t IN ACCESS SHARE MODE",
                Cause::Denied,
            ),
            (
                "pg_dump: error: query failed: ERROR:  canceling statement due to statement \
                    timeout\npg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE",
                Cause::Locked,
            ),
            (
                "pg_dump: error: query failed: ERROR:  could not write to file \"base/pgsql_tmp/1\": No \
                    space left on device",
                Cause::Other,
            ),
            (
                "pg_dump: detail: Error message from server: could not extend file: No space left on device",
                Cause::Other,
            ),
            ("pg_dump: error: a worker process died unexpectedly", Cause::Other),
            ("", Cause::Other),
        ];
        for (stderr, expected) in table {
            assert_eq!(understand(stderr), expected, "{stderr}");
        }
    }
}
