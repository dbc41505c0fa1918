//! Restoring a dump by `pg_restore` into an empty database: the only proof that it can be done.

use std::path::Path;

use super::{
    super::SnapshotError,
    Tools,
    process::{self, Finished},
};
use crate::postgres::{ConnectionUrl, LIBPQ_KEEPALIVES};

/// What a server before 17 answers to the first statements of `pg_restore` 17 and newer, which are about its own
/// session and about no object.
const NEWER_CLIENT: &str = "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \
    \"transaction_timeout\"";

/// Restores everything but what reaches beyond the database: subscriptions and publications, and labels that
/// need a library of the server. The first error ends it, but for that of a client newer than its server.
pub(in super::super) async fn restore(
    tools: &Tools,
    dump: &Path,
    jobs: u32,
    into: &ConnectionUrl,
    database: &str,
) -> Result<(), SnapshotError> {
    let mut finished = run(tools, dump, jobs, into, true).await?;
    if first_error(&finished.stderr) == Some(NEWER_CLIENT) {
        // It ended before it restored anything. One process alone, so that its errors are counted one by one.
        finished = run(tools, dump, 1, into, false).await?;
    }
    if finished.status.success() || had_no_other_error(&finished) {
        return Ok(());
    }
    let detail =
        told(&finished.stderr).unwrap_or_else(|| format!("pg_restore ended with {}", finished.status));
    Err(SnapshotError::NotRestored { database: database.to_owned(), detail })
}

async fn run(
    tools: &Tools,
    dump: &Path,
    jobs: u32,
    into: &ConnectionUrl,
    exits_on_error: bool,
) -> Result<Finished, SnapshotError> {
    let mut arguments = vec![
        "--no-password".into(),
        "--no-publications".into(),
        "--no-subscriptions".into(),
        "--no-security-labels".into(),
        "--no-tablespaces".into(),
    ];
    if exits_on_error {
        arguments.push("--exit-on-error".into());
    }
    if dump.is_dir() && jobs > 1 {
        arguments.push(format!("--jobs={jobs}").into());
    }
    // The rest of where to connect is in the environment.
    arguments.push(format!("--dbname={LIBPQ_KEEPALIVES}").into());
    arguments.push(dump.as_os_str().to_owned());
    process::run(&tools.pg_restore, &arguments, Some(into)).await
}

fn first_error(stderr: &str) -> Option<&str> {
    stderr.lines().find(|line| line.starts_with("pg_restore: error: "))
}

/// It came to its end, counted one error, and that one is about a newer client.
fn had_no_other_error(finished: &Finished) -> bool {
    let Finished { status, stderr, .. } = finished;
    status.code() == Some(1)
        && first_error(stderr) == Some(NEWER_CLIENT)
        && stderr.lines().next_back() == Some("pg_restore: warning: errors ignored on restore: 1")
}

/// What `pg_restore` says of its first error. What the server adds behind it may quote a row, and is left
/// out: the object, which `pg_restore` names before, is enough to find it.
fn told(stderr: &str) -> Option<String> {
    let lines: Vec<&str> = stderr.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("pg_restore: error: "))?;
    let error = lines[at].trim_start_matches("pg_restore: error: ");
    let (said, server) = error.split_once("ERROR:").map_or((error, None), |(said, of)| (said, Some(of)));
    let said = said.trim_end_matches([' ', ':']);
    // "while PROCESSING TOC:" and "from TOC entry 3342; 1259 16385 TABLE patients migrator" stand before it.
    let entry =
        lines[..at].iter().rev().find_map(|line| line.split_once("from TOC entry ")).map(|(_, entry)| entry);
    let names = server.filter(|text| names_objects(text)).map(str::trim);
    Some([Some(said), entry, names].into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// Messages of PostgreSQL's that hold names and no values.
fn names_objects(text: &str) -> bool {
    ["permission denied ", "must be ", "extension ", "role "]
        .iter()
        .any(|begins| text.trim().starts_with(begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_newer_than_its_server_is_no_error_and_every_other_one_is() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |code: i32, stderr: &str| {
            let status = std::process::ExitStatus::from_raw(code << 8);
            had_no_other_error(&Finished { status, stdout: String::new(), stderr: stderr.to_owned() })
        };
        let command = "Command was: SET transaction_timeout = 0;";
        let counted = |errors: u32| format!("pg_restore: warning: errors ignored on restore: {errors}");
        let alone = format!("{NEWER_CLIENT}\n{command}\n{}\n", counted(1));
        assert!(ended(1, &alone));
        assert!(!ended(2, &alone) && !ended(1, &format!("{NEWER_CLIENT}\n{command}\n")), "it broke off");
        let other = "pg_restore: error: COPY failed for table \"patients\": ERROR:  out of range";
        assert!(!ended(1, &format!("{NEWER_CLIENT}\n{command}\n{other}\n{}", counted(2))));
        assert!(!ended(1, &format!("{other}\n{}", counted(1))));
    }

    #[test]
    fn an_error_names_the_object_and_no_row() {
        for (stderr, expected) in [
            (
                "pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 3342; 0 16385 TABLE DATA \
                    patients migrator\npg_restore: error: COPY failed for table \"patients\": ERROR:  \
                    invalid input syntax for type integer: \"Ada\"\nCONTEXT:  COPY patients, line 1: \
                    \"Ada Lovelace\"",
                "COPY failed for table \"patients\"; 3342; 0 16385 TABLE DATA patients migrator",
            ),
            (
                "pg_restore: error: could not execute query: ERROR:  permission denied to create extension \
                    \"dblink\"\nHINT:  Must be superuser to create this extension.",
                "could not execute query; permission denied to create extension \"dblink\"",
            ),
            (
                "pg_restore: error: could not read from input file: end of file",
                "could not read from input file: end of file",
            ),
        ] {
            assert_eq!(told(stderr).as_deref(), Some(expected), "{stderr}");
        }
        assert_eq!(told("killed"), None);
    }
}
