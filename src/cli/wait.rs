//! `sluice wait`: an init container's gate. Reads the history in the database, so it needs no operator and no
//! right in the cluster. A history that another role could have planted is not believed.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    Usage,
    format::FormatName,
    print::{complain, print},
    stage::terminated,
};
use crate::{
    api::Span,
    migrations::HistoryContract,
    postgres::{ConnectionUrl, HistoryTable, believed, connect},
    visible::visible,
};

/// Arguments of `sluice wait`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What must be applied: NAME@VERSION or just VERSION, the name of a migration.
    #[arg(long, value_name = "NAME@VERSION")]
    require: String,

    /// Where the database is; a role that may read the history is enough. Prefer the variable.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,

    /// Which history: Prisma's or Sluice's own.
    #[arg(long, value_enum, default_value_t = FormatName::Prisma)]
    format: FormatName,

    /// The schema of Prisma's history. Default: the URL's parameter `schema`, else public.
    #[arg(long)]
    history_schema: Option<String>,

    /// The role that migrates. A history is believed that belongs to this role, to one that can become it, or
    /// to a superuser. Default: the role of the URL and the owner of the database are taken for it.
    #[arg(long, value_name = "ROLE")]
    history_owner: Option<String>,

    /// Give up then, with exit code 1. Default: wait for as long as it takes.
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Another session may hold a lock on the history: reading it must not take for ever.
const LOOK_FOR: Duration = Duration::from_secs(15);

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let url = ConnectionUrl::parse(&args.database_url).map_err(|error| Usage(error.to_string()))?;
    if let Some(why) = url.pooled() {
        return Err(Usage(format!(
            "the connection URL leads through a pooler ({why}): give the URL of the server itself"
        )));
    }
    let version = version(&args.require)?;
    let schema = args.history_schema.as_deref().or(url.schema()).unwrap_or("public");
    let history_table = HistoryTable { contract: HistoryContract::of(args.format.format(), schema) };
    let awaited = Awaited { history_table, owner: args.history_owner.as_deref(), version };
    tokio::select! {
        code = wait(&url, &awaited, args.timeout) => Ok(code),
        // An init container's first process ignores signals it does not handle, and the Pod would wait for
        // its grace period.
        () = terminated() => Ok(ExitCode::from(143)),
    }
}

/// What is waited for, and where it is recorded.
struct Awaited<'a> {
    history_table: HistoryTable,
    /// A role that may own the history, besides those that could forge it anyway.
    owner: Option<&'a str>,
    version: &'a str,
}

/// What is behind the @, or the whole text.
fn version(require: &str) -> Result<&str, Usage> {
    let (name, version) = require.rsplit_once('@').unwrap_or(("any", require));
    if name.is_empty() || version.is_empty() {
        return Err(Usage(format!(
            "--require {require:?} names no version: write NAME@VERSION, or the name of a migration"
        )));
    }
    Ok(version)
}

async fn wait(url: &ConnectionUrl, awaited: &Awaited<'_>, timeout: Option<Span>) -> ExitCode {
    let version = awaited.version;
    // That no process reads what is said is no reason to stop waiting.
    let say = |text: String| drop(print(&(visible(&text) + "\n")));
    let until = timeout.map(|timeout| Instant::now() + timeout.duration());
    let place = url.place();
    let mut said = String::new();
    loop {
        let left = until.map_or(LOOK_FOR, |until| {
            until.saturating_duration_since(Instant::now()).clamp(LOOK_EVERY, LOOK_FOR)
        });
        let looked = tokio::time::timeout(left, poll(url, awaited)).await;
        let Some(state) = looked.unwrap_or_else(|_| Some("the database does not answer".to_owned())) else {
            say(format!("{version} is applied in {place}"));
            return ExitCode::SUCCESS;
        };
        if state != said {
            say(format!("waiting for {version} in {place}: {state}"));
            said = state;
        }
        if let Some(timeout) = timeout.filter(|_| until.is_some_and(|until| Instant::now() >= until)) {
            complain(&format!(
                "sluice: gave up after {timeout} of waiting for {version} in {place}: {said}\n"
            ));
            return ExitCode::FAILURE;
        }
        let pause =
            until.map_or(LOOK_EVERY, |until| until.saturating_duration_since(Instant::now()).min(LOOK_EVERY));
        tokio::time::sleep(pause).await;
    }
}

/// None when the version is applied; otherwise why not.
async fn poll(url: &ConnectionUrl, awaited: &Awaited<'_>) -> Option<String> {
    let mut connection = match connect(url, "sluice wait").await {
        Ok(connection) => connection,
        Err(error) => return Some(error.to_string()),
    };
    match believed(&mut connection, &awaited.history_table, awaited.owner, awaited.version).await {
        Err(error) => Some(error.to_string()),
        Ok(Err(objection)) => Some(objection.message),
        Ok(Ok((_, true))) => None,
        Ok(Ok((newest, false))) => {
            let newest = newest.map_or_else(
                || "nothing is applied yet".to_owned(),
                |newest| format!("the newest applied is {newest}"),
            );
            // A hint decides nothing: without it, the wait goes on as well.
            let (history_table, version) = (&awaited.history_table, awaited.version);
            let meant = history_table.beginning_with(&mut connection, version).await.unwrap_or_default();
            Some(match meant.as_slice() {
                [whole] => {
                    format!(
                        "{newest}; {version} is the beginning of {whole}, which is applied: a version is the \
                            whole name of a migration"
                    )
                }
                _ => newest,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_a_version_with_or_without_the_name_of_its_object() {
        assert_eq!(version("records@20240215_a").ok(), Some("20240215_a"));
        assert_eq!(version("20240215_a").ok(), Some("20240215_a"));
        for nothing in ["", "records@", "@20240215_a", "@"] {
            assert!(version(nothing).is_err(), "{nothing}");
        }
    }
}
