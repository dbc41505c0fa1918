//! `sluice lint`: what Sluice reads in a folder of migrations, and what is to be said of it before it runs.
//! It needs no database; with one, it judges what is pending by the size of the tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
};

use super::{
    Usage,
    format::FormatName,
    phase::{self, PhaseArg},
    remarks::{Files, Output, show},
    since::Since,
};
use crate::{
    api::{Format, History, PhaseWhen},
    inspect::{TableScope, tables},
    lint::{self, Before, Large, Preset, Remark, Tables, Weight, Weights},
    migrations::{
        HistoryContract, Holds, Migration, PhaseFolder, Rules, SourceTree, Statement, StatementKind, compare,
        how, load_with,
    },
    postgres::{ConnectionUrl, HistoryTable, believed_rows, connect},
    redact,
    visible::visible,
};

/// Arguments of `sluice lint`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of migrations.
    #[arg(value_name = "DIR")]
    source: PathBuf,

    /// The folder's format: Prisma or Sql.
    #[arg(long, value_enum, default_value_t = FormatName::Prisma)]
    format: FormatName,

    /// The folder of a phase (spec.migrations.phases), which is read, too.
    #[arg(long = "phase", value_name = "NAME=DIR", value_parser = phase::parse)]
    phases: Vec<PhaseArg>,

    /// A folder without a migration is as it should be (spec.migrations.allowEmpty), and no error.
    #[arg(long)]
    allow_empty: bool,

    /// How much the rules about locks, losses and access weigh.
    #[arg(long, value_enum, default_value_t = PresetName::Lenient)]
    preset: PresetName,

    /// A rule that weighs more or less: Off, Warn, Approve or Fail; may be given several times.
    #[arg(long = "rule", value_name = "RULE=WEIGHT", value_parser = weight)]
    rules: Vec<(String, Weight)>,

    /// A table whose rows no release changes or removes without an approval (spec.before.lint.protectedTables); may be
    /// given several times.
    #[arg(long = "protected-table", value_name = "TABLE")]
    protected_tables: Vec<String>,

    /// Only migrations that are new or changed since this commit of Git's.
    #[arg(long, value_name = "REF")]
    since: Option<String>,

    /// Only migrations that are not applied in this database, by the size of its tables. Without, every table
    /// that exists counts as large. Arguments can be seen by others: without a URL behind it, it is
    /// DATABASE_URL.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    database_url: Option<String>,

    /// The schema of Prisma's history in this database. Default: the URL's parameter `schema`, else public.
    #[arg(long, requires = "database_url")]
    history_schema: Option<String>,

    /// The role that migrates this database. A history is believed that belongs to this role, to one that can
    /// become it, or to a superuser. Default: the role of the URL and the owner of the database are taken for
    /// it.
    #[arg(long, value_name = "ROLE", requires = "database_url")]
    history_owner: Option<String>,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// The presets, as they are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
enum PresetName {
    /// Everything warns.
    #[value(alias = "lenient")]
    Lenient,
    /// What locks a large table fails; losses and access need an approval.
    #[value(alias = "standard")]
    Standard,
    /// What may break the running application needs an approval as well; access fails.
    #[value(alias = "strict")]
    Strict,
}

impl PresetName {
    const fn preset(self) -> Preset {
        match self {
            Self::Lenient => Preset::Lenient,
            Self::Standard => Preset::Standard,
            Self::Strict => Preset::Strict,
        }
    }
}

/// Reads `RULE=WEIGHT`.
fn weight(text: &str) -> Result<(String, Weight), String> {
    let (rule, weight) = text.split_once('=').ok_or("write RULE=WEIGHT")?;
    if lint::find(rule).is_none() {
        return Err(format!("there is no rule {rule:?}"));
    }
    let weight = [Weight::Off, Weight::Warn, Weight::Approve, Weight::Fail]
        .into_iter()
        .find(|known| format!("{known:?}").eq_ignore_ascii_case(weight))
        .ok_or_else(|| format!("{weight:?} is none of Off, Warn, Approve, Fail"))?;
    Ok((rule.to_owned(), weight))
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Usage> {
    if !args.source.is_dir() {
        return Err(Usage(format!("{} is no folder", args.source.display())));
    }
    let format = args.format.format();
    match load(&args, format) {
        Ok(source) => {
            let release = release(&args, &source, format).await?;
            say(&args, &source, &release, format)
        }
        Err(error) => {
            let remarks = lint::unreadable(&args.source.display().to_string(), &error);
            let files = Files { folder: &args.source, release: &[] };
            show(args.output, &remarks, &files, String::new)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn load(args: &Args, format: Format) -> Result<SourceTree, crate::migrations::SourceError> {
    let phase = |PhaseArg { name, folder }: &PhaseArg| PhaseFolder {
        name: name.clone(),
        shown: folder.display().to_string(),
        folder: folder.clone(),
        when: PhaseWhen::After,
        // Only the manifest knows: an edited file may run again, so it is judged.
        repeatable: true,
    };
    let phases: Vec<PhaseFolder> = args.phases.iter().map(phase).collect();
    let source = load_with(format, &args.source, &phases)?;
    if !args.allow_empty {
        source.must_not_be_empty(format, &args.source)?;
    }
    Ok(source)
}

/// What is judged, and by which sizes.
struct Release<'a> {
    before: Before,
    migrations: Vec<&'a Migration>,
    tables: Tables,
}

async fn release<'a>(args: &Args, source: &'a SourceTree, format: Format) -> Result<Release<'a>, Usage> {
    let tables = Tables::default().protecting(&args.protected_tables);
    let (before, migrations) = (Before::default(), source.migrations.iter().collect());
    let mut release = Release { before, migrations, tables };
    if let Some(reference) = &args.since {
        let since = Since::of(reference, &args.source, &args.phases).map_err(Usage)?;
        release.migrations.retain(|migration| !since.has(migration));
        release.before = since.before(source);
    }
    if let Some(given) = &args.database_url {
        let (pending, tables) = ask(args, given, source, format).await?;
        release.migrations.retain(|migration| pending.contains(migration.name.as_str()));
        release.tables = tables;
    }
    Ok(release)
}

/// Which migrations are pending, and how large the tables are.
async fn ask<'a>(
    args: &Args,
    given: &str,
    source: &'a SourceTree,
    format: Format,
) -> Result<(BTreeSet<&'a str>, Tables), Usage> {
    let told = |error: &dyn std::fmt::Display| Usage(error.to_string());
    let variable = || std::env::var("DATABASE_URL").map_err(|_| Usage("DATABASE_URL is not set".to_owned()));
    let given = if given.is_empty() { variable()? } else { given.to_owned() };
    let url = ConnectionUrl::parse(&given).map_err(|error| told(&error))?;
    let mut connection = connect(&url, "sluice lint").await.map_err(|error| told(&error))?;
    let schema = url.schema().unwrap_or("public");
    let history_schema = args.history_schema.as_deref().unwrap_or(schema);
    let history = HistoryTable { contract: HistoryContract::of(format, history_schema) };
    let rows = believed_rows(&mut connection, &history, args.history_owner.as_deref());
    let rows = rows.await.map_err(|error| told(&error))?.map_err(|objection| Usage(objection.message))?;
    // What does not fit is the plan's to say: here it matters what will run.
    let (rules_of_history, texts) = (History::default(), BTreeMap::new());
    let holds = Holds::Only(None);
    let rules = Rules { target: None, history: &rules_of_history, texts: &texts, holds };
    let pending: Vec<&Migration> =
        compare(source, &rows, &rules).pending.into_iter().map(|at| &source.migrations[at]).collect();
    let scope = TableScope { schema, large: Large::default(), protected: &args.protected_tables };
    let tables = tables(&mut connection, &pending, scope).await.map_err(|error| told(&error))?;
    Ok((pending.into_iter().map(|migration| migration.name.as_str()).collect(), tables))
}

/// Prints what is to be said of a source that could be read.
fn say(args: &Args, source: &SourceTree, release: &Release<'_>, format: Format) -> Result<ExitCode, Usage> {
    let weights = Weights { preset: args.preset.preset(), rules: args.rules.iter().cloned().collect() };
    let remarks =
        lint::remarks(source, format, &release.migrations, &release.tables, &weights, &release.before)
            .map_err(|error| Usage(format!("lint could not read the release: {error}")))?;
    let files = Files { folder: &args.source, release: &release.migrations };
    show(args.output, &remarks, &files, || listed(args, source, release, &remarks))?;
    let fails = remarks.iter().any(|remark| remark.weight == Weight::Fail);
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How each file runs, and the sum. Names of files may hold anything.
fn listed(args: &Args, source: &SourceTree, release: &Release<'_>, remarks: &[Remark]) -> String {
    let mut lines: Vec<String> =
        release.migrations.iter().flat_map(|migration| how_it_runs(migration)).collect();
    lines.push(sum(args, source, release, remarks));
    lines.iter().map(|line| visible(line) + "\n").collect()
}

fn how_it_runs(migration: &Migration) -> Vec<String> {
    let Ok(script) = migration.script() else {
        return vec![format!("{}: cannot run", migration.file)];
    };
    let head =
        format!("{}: {}, {}", migration.file, counted(script.statements.len(), "statement"), how(script));
    let apart = script.statements.iter().filter(|statement| statement.kind != StatementKind::Transactional);
    let apart = apart.map(|statement| format!("  line {}: {}", statement.line, describe(statement)));
    std::iter::once(head).chain(apart).collect()
}

fn sum(args: &Args, source: &SourceTree, release: &Release<'_>, remarks: &[Remark]) -> String {
    let own = release.migrations.iter().filter(|migration| migration.phase().is_none()).count();
    let of_phases = release.migrations.len() - own;
    let left_out = source.migrations.len() - release.migrations.len();
    let of = |weights: &[Weight]| {
        let counts = |remark: &&Remark| remark.waived.is_none() && weights.contains(&remark.weight);
        remarks.iter().filter(counts).count()
    };
    let mut sum = vec![counted(own, "migration")];
    sum.extend((of_phases > 0).then(|| counted(of_phases, "file") + " of phases"));
    sum.extend((left_out > 0).then(|| format!("{left_out} left out ({})", why_left_out(args))));
    let problems = [(of(&[Weight::Fail]), "error"), (of(&[Weight::Warn, Weight::Approve]), "warning")];
    sum.extend(
        problems.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what)),
    );
    let waived = remarks.iter().filter(|remark| remark.waived.is_some()).count();
    sum.extend((waived > 0).then(|| format!("{waived} allowed")));
    let (class, effort) = (lint::class(remarks), lint::effort(remarks, &release.tables));
    format!("{}: {}, {}", sum.join(", "), class.name(), effort.name())
}

fn why_left_out(args: &Args) -> String {
    let unchanged = args.since.as_ref().map(|reference| format!("unchanged since {reference}"));
    let applied = args.database_url.as_ref().map(|_| "applied".to_owned());
    unchanged.into_iter().chain(applied).collect::<Vec<_>>().join(" or ")
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn describe(statement: &Statement) -> String {
    match &statement.kind {
        // The value is a name of the schema, and all that tells two of these statements apart. Other
        // constants can be about a person.
        StatementKind::AddEnumValue => {
            format!(
                "adds an enum value, which can be used after COMMIT: {}",
                redact::own_statement(statement.sql(), 80)
            )
        }
        StatementKind::Backfill(backfill) => format!(
            "runs in batches by {}, each a transaction: {}",
            backfill.batches.shown(),
            redact::statement(statement.sql(), 80)
        ),
        StatementKind::Copy(copy) => format!(
            "is done by copy and swap, in batches by {}: {}",
            copy.batches.shown(),
            redact::statement(statement.sql(), 80)
        ),
        _ => format!(
            "cannot run in a transaction, so it runs alone: {}",
            redact::statement(statement.sql(), 80)
        ),
    }
}
