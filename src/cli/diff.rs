//! `sluice diff`: what new migrations do, for those who review them: what becomes of the schema, what each
//! statement locks, what the checks say of the result, and what lint objects to. Changes nothing.

mod markdown;
mod text;

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use serde_json::{Value, json};

use super::{
    Usage,
    manifest::Place,
    print::{print, print_json},
    remarks::{Files, Output, show},
    since::Since,
};
use crate::{
    contract::{Stage, Verdict},
    inspect::{TableScope, tables},
    lint::{self, Before, Class, Effort, Large, Remark, Tables, Weight, Weights, form::Form},
    migrations::{Migration, SourceTree},
    postgres::connect,
    stage::{self, Context, Ground, Rehearsal, rehearse, rehearse_behind},
};

/// Arguments of `sluice diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,

    /// The migrations that are new or changed since this commit of Git's, beside those that are as they were. The
    /// database may be an empty one then: only a scratch database beside it is used. Default: what is pending in the
    /// database.
    #[arg(long, value_name = "REF")]
    since: Option<String>,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What is told of a release.
struct Told<'a> {
    rehearsal: &'a Rehearsal,
    /// What lint says, and that a statement failed.
    remarks: &'a [Remark],
    migrations: &'a [&'a Migration],
    class: Class,
    effort: Effort,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    let Args { place, since, output } = args;
    let since = since.map(|reference| place.since(&reference)).transpose()?;
    let folder = place.source.clone();
    let (_, context) = place.context()?;
    let source = context.source().map_err(|error| Usage(error.to_string()))?;
    let compared = match &since {
        Some(since) => behind_files(&context, source, since).await,
        None => behind_history(&context, source).await?,
    };
    tell(&context, &folder, source, &compared, output)
}

/// A release that was rehearsed.
struct Compared<'a> {
    migrations: Vec<&'a Migration>,
    before: Before,
    tables: Tables,
    rehearsal: Rehearsal,
}

async fn behind_files<'a>(context: &Context, source: &'a SourceTree, since: &Since) -> Compared<'a> {
    let (old, migrations): (Vec<&Migration>, Vec<&Migration>) =
        source.migrations.iter().partition(|migration| since.has(migration));
    let old: BTreeSet<String> = old.into_iter().map(|migration| migration.name.clone()).collect();
    let rehearsal = rehearse_behind(context, &old).await;
    // How large the tables are where it will run, an empty database does not say.
    let tables = Tables::default().protecting(&context.manifest.lint.protected_tables);
    Compared { migrations, before: since.before(source), tables, rehearsal }
}

async fn behind_history<'a>(context: &Context, source: &'a SourceTree) -> Result<Compared<'a>, Usage> {
    let plan = stage::run(Stage::Plan, context, &[]).await;
    let pending = plan.history.map(|history| history.pending).unwrap_or_default();
    let is_pending = |migration: &&Migration| pending.contains(&migration.name);
    let migrations: Vec<&Migration> = source.migrations.iter().filter(is_pending).collect();
    let rehearsal = rehearse(context, &Ground::Schema).await;
    let tables = sizes(context, &migrations).await?;
    Ok(Compared { migrations, before: Before::default(), tables, rehearsal })
}

/// The tables of the database, as they are.
async fn sizes(context: &Context, release: &[&Migration]) -> Result<Tables, Usage> {
    let desired = &context.manifest.lint;
    let scope = TableScope {
        schema: context.manifest.schemas.first().map_or("public", String::as_str),
        large: Large { rows: desired.large_rows, bytes: desired.large_bytes },
        protected: &desired.protected_tables,
    };
    let told = |error: &dyn std::fmt::Display| Usage(error.to_string());
    let url = context.url.as_ref().map_err(|error| told(error))?;
    let mut connection = connect(url, "sluice diff").await.map_err(|error| told(&error))?;
    tables(&mut connection, release, scope).await.map_err(|error| told(&error))
}

/// Prints it, and says by the exit code whether there is something to object to.
fn tell(
    context: &Context,
    folder: &Path,
    source: &SourceTree,
    compared: &Compared<'_>,
    output: Output,
) -> Result<ExitCode, Usage> {
    let Compared { migrations, before, tables, rehearsal } = compared;
    let desired = &context.manifest.lint;
    let weights = Weights { preset: desired.preset, rules: desired.rules.clone() };
    let said = lint::remarks(source, context.manifest.format, migrations, tables, &weights, before);
    let mut remarks = said.map_err(|error| Usage(format!("lint could not read the release: {error}")))?;
    remarks.extend(failed(migrations, rehearsal));
    let (class, effort) = (lint::class(&remarks), lint::effort(&remarks, tables));
    let told = Told { rehearsal, remarks: &remarks, migrations, class, effort };
    let files = Files { folder, release: migrations };
    match output {
        Output::Text => {
            print(&text::page(&told)).and_then(|()| show(output, &remarks, &files, || text::sum(&told)))
        }
        Output::Json => print_json(&format!("{:#}\n", document(&told))),
        Output::Markdown => print(&markdown::page(&told)),
        Output::Sarif | Output::Junit | Output::Github => show(output, &remarks, &files, String::new),
    }?;
    let objects = remarks.iter().any(|remark| remark.weight == Weight::Fail);
    Ok(if objects || rehearsal.verdict != Verdict::Passed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// That a statement failed, as an objection to its line.
fn failed(migrations: &[&Migration], rehearsal: &Rehearsal) -> Vec<Remark> {
    let Some(failure) = &rehearsal.failure else { return Vec::new() };
    let of = migrations.iter().find(|migration| migration.file == failure.file);
    of.map(|migration| lint::fails(migration, failure.line, rehearsal.message.clone())).unwrap_or_default()
}

fn document(told: &Told<'_>) -> Value {
    let printed = lint::form::print(told.remarks, &|_| None, Form::Json).unwrap_or_default();
    json!({
        "migrations": told.migrations.iter().map(|migration| &migration.name).collect::<Vec<_>>(),
        "class": told.class.name(),
        "effort": told.effort.name(),
        "objections": serde_json::from_str::<Value>(&printed).unwrap_or_default(),
        "rehearsal": told.rehearsal,
    })
}
