//! `sluice wait`: an init container's gate. Reads the ledger in the database, so it needs no operator and no right in the cluster.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use super::Usage;
use crate::{
    api::{Format, Span},
    migrations::{LedgerContract, RowState},
    postgres::{ConnectionUrl, Ledger, connect},
};

/// Arguments of `sluice wait`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What must be applied: NAME@VERSION or just VERSION, the name of a migration.
    #[arg(long, value_name = "NAME@VERSION")]
    require: String,

    /// Where the database is; a role that may read the ledger is enough. Prefer the variable.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,

    /// Which ledger: Prisma's or Sluice's own.
    #[arg(long, default_value = "Prisma", value_parser = ["Prisma", "Sql"])]
    format: String,

    /// The schema of Prisma's ledger. Default: the URL's parameter `schema`, else public.
    #[arg(long)]
    history_schema: Option<String>,

    /// Give up then, with exit code 1. Default: wait for as long as it takes.
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let url = ConnectionUrl::parse(&args.database_url).map_err(|error| Usage(error.to_string()))?;
    let version = args.require.rsplit_once('@').map_or(args.require.as_str(), |(_, version)| version);
    let schema = args.history_schema.as_deref().or(url.schema()).unwrap_or("public");
    let format = if args.format == "Sql" { Format::Sql } else { Format::Prisma };
    let ledger = Ledger { contract: LedgerContract::of(format, schema) };
    let until = args.timeout.map(|timeout| Instant::now() + timeout.duration());
    let mut said = String::new();
    loop {
        let state = look(&url, &ledger, version).await;
        if state.is_none() {
            println!("{version} is applied");
            return Ok(ExitCode::SUCCESS);
        }
        let state = state.unwrap_or_default();
        if state != said {
            println!("waiting for {version}: {state}");
            said = state;
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            println!("gave up: {said}");
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// None when the version is applied; otherwise why not.
async fn look(url: &ConnectionUrl, ledger: &Ledger, version: &str) -> Option<String> {
    let mut connection = match connect(url, "sluice wait").await {
        Ok(connection) => connection,
        Err(error) => return Some(error.to_string()),
    };
    match ledger.rows(&mut connection).await {
        Err(error) => Some(error.to_string()),
        Ok(rows) if rows.iter().any(|row| row.name == version && row.state() == RowState::Applied) => None,
        Ok(rows) => {
            let newest = rows.iter().rfind(|row| row.state() == RowState::Applied);
            Some(newest.map_or_else(|| "nothing is applied yet".to_owned(), |row| format!("the newest applied is {}", row.name)))
        }
    }
}
