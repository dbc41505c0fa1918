//! Runs one of PostgreSQL's client tools: no shell, no password among the arguments, no variable that is not
//! meant for it, bounded output, and an end to it and its children when no caller waits any longer.

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

use super::super::SnapshotError;
use crate::{postgres::ConnectionUrl, redact::connection_strings};

/// What a tool needs of the surroundings. Everything else stays out: `DATABASE_URL` holds the password, and a
/// stray `PGSERVICE` or `PGSSLMODE` would change which server it connects to.
const INHERITED: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// How much is kept of the beginning and of the end of a tool's output.
const KEPT: usize = 8 * 1024;

/// What a tool said when it ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a tool to its end. When the caller gives up, the tool and the workers it started are killed.
pub(super) async fn run<A: AsRef<OsStr>>(
    tool: &Path,
    arguments: &[A],
    url: Option<&ConnectionUrl>,
) -> Result<Finished, SnapshotError> {
    let broken = |cause| SnapshotError::ToolMissing { tool: tool.to_owned(), cause };
    let mut command = Command::new(tool);
    command
        .args(arguments)
        .env_clear()
        .envs(INHERITED.iter().filter_map(|name| env::var_os(name).map(|value| (name, value))));
    // Errors are told apart by their text, so the text must be in one language.
    command.env("LC_ALL", "C");
    if let Some(url) = url {
        command.envs(url.libpq_environment());
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(broken)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut group = Group::of(&child);
    let (stdout, stderr, status) = tokio::join!(bounded(stdout), bounded(stderr), child.wait());
    group.ended();
    let clean = |text: String| connection_strings(&text).into_owned();
    Ok(Finished { status: status.map_err(broken)?, stdout: clean(stdout), stderr: clean(stderr) })
}

/// The last lines a tool said, short enough for a condition; its exit status when it said nothing.
pub(super) fn last_words(finished: &Finished) -> String {
    const LINES: usize = 4;
    const CHARACTERS: usize = 600;
    // What a server adds to its errors may quote a row, and begins at the left; what the tool adds is
    // "pg_dump: detail: …".
    let of_server = |line: &&str| line.starts_with(|c: char| c.is_uppercase()) && !line.contains("ERROR:");
    let lines: Vec<_> =
        finished.stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !of_server(line)).collect();
    let said = lines[lines.len().saturating_sub(LINES)..].join("; ");
    match said.char_indices().nth(CHARACTERS) {
        _ if said.is_empty() => format!("it ended with {} and said nothing", finished.status),
        Some((at, _)) => format!("{}…", &said[..at]),
        None => said,
    }
}

/// A tool and the workers it forks. Killed when dropped before the tool has ended.
struct Group(Option<u32>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id())
    }

    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.0 else { return };
        // The tool itself dies by `kill_on_drop`; its workers only by this. The standard library cannot
        // signal a group. Where there is no shell there is a container, which ends them all when the stage
        // ends.
        let script = ["-c", "kill -KILL \"-$1\"", "sh", &leader.to_string()].map(ToOwned::to_owned);
        let mut kill = std::process::Command::new("sh");
        kill.args(script).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = kill.status() {
            tracing::debug!(leader, %error, "could not end the workers of a client tool");
        }
    }
}

/// Reads to the end, keeps the beginning and the end.
async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut head, mut tail, mut cut) = (Vec::new(), Vec::new(), false);
    let mut buffer = vec![0; KEPT];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let free = KEPT.saturating_sub(head.len()).min(read);
        head.extend_from_slice(&buffer[..free]);
        tail.extend_from_slice(&buffer[free..read]);
        if tail.len() > KEPT {
            cut = true;
            tail.drain(..tail.len() - KEPT);
        }
    }
    if cut {
        head.extend_from_slice("\n…\n".as_bytes());
    }
    head.extend_from_slice(&tail);
    String::from_utf8_lossy(&head).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_beginning_and_the_end_of_a_long_output_are_kept() {
        let output = format!("first{}last", "x".repeat(10 * KEPT));
        let kept = bounded(Some(output.as_bytes())).await;
        assert!(
            kept.starts_with("first")
                && kept.ends_with("last")
                && kept.contains('…')
                && kept.len() < 2 * KEPT + 10,
            "{}",
            kept.len()
        );
        assert_eq!(bounded(Some("short".as_bytes())).await, "short");
    }

    #[tokio::test]
    async fn a_tool_that_is_not_there_is_named() {
        let error =
            run(Path::new("/nowhere/pg_dump"), &["--version"], None).await.expect_err("there is none");
        assert!(error.to_string().contains("\"/nowhere/pg_dump\""), "{error}");
    }

    #[tokio::test]
    async fn nothing_of_the_surroundings_reaches_a_tool_but_what_it_needs() {
        let url = ConnectionUrl::parse("postgres://u:s3cr%40t@h/d").expect("parses");
        let finished = run(Path::new("env"), &[] as &[&str], Some(&url)).await.expect("runs");
        let names: Vec<_> =
            finished.stdout.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        assert!(names.contains(&"PGPASSWORD") && names.contains(&"LC_ALL"), "{names:?}");
        assert!(
            names.iter().all(|name| name.starts_with("PG") || *name == "LC_ALL" || INHERITED.contains(name)),
            "{names:?}"
        );
        assert!(!finished.stdout.contains("s3cr@t"), "{}", finished.stdout);
    }
}
