//! `sluice report`: saved reports, printed again, side by side, or as evidence for regimes. Connects to no
//! database, except to read the report that a run kept there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::Value;

use super::{Usage, form};
use crate::{
    api::DatabaseMigrationStatus,
    postgres::ConnectionUrl,
    report::{
        Consistency, Document, Report,
        evidence::{Evidence, NAMES, Regime, Subject, named},
        read,
    },
    stage::read_record,
};

/// Arguments of `sluice report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A report that `sluice verify -o json` printed. Several: the services side by side, with the sum.
    #[arg(long, value_name = "FILE", required_unless_present = "from_database")]
    from: Vec<PathBuf>,

    /// Read the report of a run from the database, where Sluice keeps the record of each run that changes
    /// something.
    #[arg(long, conflicts_with = "from", requires = "database_url")]
    from_database: bool,

    /// Which record: status.run.record of the DatabaseMigration. What the database has under this digest is
    /// compared with it. Default: the newest one with a report.
    #[arg(long, value_name = "SHA256", requires = "from_database")]
    record: Option<String>,

    /// Where the database is, for --from-database; a role that may read sluice.records is enough. Prefer the
    /// variable.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    #[command(flatten)]
    printed: form::Printed,

    /// Print the evidence for these regimes instead: LGPD, CFM, ANVISA, HIPAA, GDPR, GoBD, 630f.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = regime)]
    regime: Vec<&'static Regime>,

    /// What the DatabaseMigrations say of snapshots and repeated verification, for --regime: `kubectl get dbm
    /// -o json`, or what `sluice run -o json` printed.
    #[arg(long, value_name = "FILE", requires = "regime")]
    status: Vec<PathBuf>,
}

fn regime(name: &str) -> Result<&'static Regime, String> {
    named(name).ok_or_else(|| format!("there is no regime {name:?}; there are {}", NAMES.join(", ")))
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Usage> {
    let mut reports = Vec::new();
    if let (true, Some(url)) = (args.from_database, &args.database_url) {
        reports.push(kept(url, args.record.as_deref()).await?);
    }
    for file in &args.from {
        let text = fs::read_to_string(file)
            .map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
        reports
            .extend(read(&text).map_err(|error| Usage(format!("{} is no report: {error}", file.display())))?);
    }
    if !args.regime.is_empty() {
        return evidence(args, reports);
    }
    let document = match <[_; 1]>::try_from(reports) {
        Ok([one]) => Document::One(Box::new(one)),
        Err(several) => Document::Several(Consistency::of(several)),
    };
    form::print(&document, args.printed)
}

/// The report of a record in the database.
async fn kept(url: &str, digest: Option<&str>) -> Result<Report, Usage> {
    let url = ConnectionUrl::parse(url).map_err(|error| Usage(error.to_string()))?;
    let (digest, record) =
        read_record(&url, digest).await.map_err(|error| Usage(format!("{}: {error}", url.place())))?;
    let ended = record.stages.last().map_or_else(String::new, |last| {
        format!(
            "the run ended in the stage {} with {}: {}",
            last.stage.name(),
            last.reason.name(),
            last.message
        )
    });
    record.report.ok_or_else(|| {
        Usage(format!("the record {digest} has no report, because nothing was verified: {ended}"))
    })
}

fn evidence(args: &Args, reports: Vec<Report>) -> Result<ExitCode, Usage> {
    let mut statuses = Vec::new();
    for file in &args.status {
        statuses.extend(read_status(file)?);
    }
    let mut subjects: Vec<Subject> =
        reports.into_iter().map(|report| Subject { report, status: None }).collect();
    for (name, status) in statuses {
        let several = subjects.len() > 1;
        let found = subjects.iter_mut().find(|subject| match &name {
            Some(name) => *name == format!("{}/{}", subject.report.namespace, subject.report.name),
            None => !several,
        });
        match (found, name) {
            (Some(subject), _) => subject.status = Some(status),
            // A list of the whole cluster may hold others.
            (None, Some(_)) => {}
            (None, None) => {
                return Err(Usage(
                    "a status without a name fits no report among several: hand over the objects".to_owned(),
                ));
            }
        }
    }
    form::print_evidence(&Evidence::of(&subjects, &args.regime), args.printed.output)
}

/// The statuses in a file, with `namespace/name` where they have one: an object, a list of objects, or a
/// status alone.
fn read_status(file: &Path) -> Result<Vec<(Option<String>, DatabaseMigrationStatus)>, Usage> {
    let text = fs::read_to_string(file)
        .map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
    let problem = |error: &dyn std::fmt::Display| {
        Usage(format!("{} holds no status of a DatabaseMigration: {error}", file.display()))
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| problem(&error))?;
    let objects = match value["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![value],
    };
    let read = objects.into_iter().map(|object| {
        let own = object["kind"] == "DatabaseMigration";
        if !own && !object["conditions"].is_array() {
            return Err(problem(&"it has neither the kind DatabaseMigration nor conditions"));
        }
        let word = |key: &str| object["metadata"][key].as_str().map(str::to_owned);
        let name = own.then(|| {
            format!(
                "{}/{}",
                word("namespace").unwrap_or_else(|| "default".to_owned()),
                word("name").unwrap_or_default()
            )
        });
        let status = if own { object["status"].clone() } else { object };
        let status = if status.is_null() { Value::Object(serde_json::Map::new()) } else { status };
        Ok((name, serde_json::from_value(status).map_err(|error| problem(&error))?))
    });
    read.collect()
}
