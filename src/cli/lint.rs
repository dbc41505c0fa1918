//! `sluice lint`: what Sluice reads in a folder of migrations, without a database.

use std::{path::PathBuf, process::ExitCode};

use super::{
    Usage,
    format::FormatName,
    phase::{self, PhaseArg},
    print::print,
};
use crate::{
    api::{Format, PhaseWhen},
    lint,
    migrations::{Migration, PhaseFolder, SourceTree, Statement, StatementKind, how, load_with},
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
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Usage> {
    if !args.source.is_dir() {
        return Err(Usage(format!("{} is no folder", args.source.display())));
    }
    let phase = |PhaseArg { name, folder }: &PhaseArg| PhaseFolder {
        name: name.clone(),
        shown: folder.display().to_string(),
        folder: folder.clone(),
        when: PhaseWhen::After,
        repeatable: false,
    };
    let phases: Vec<PhaseFolder> = args.phases.iter().map(phase).collect();
    let format = args.format.format();
    let loaded = load_with(format, &args.source, &phases).and_then(|source| {
        if args.allow_empty {
            Ok(source)
        } else {
            source.must_not_be_empty(format, &args.source).map(|()| source)
        }
    });
    let report = match loaded {
        Ok(source) => Report::of(&source, format),
        Err(error) => Report { text: format!("error: {error}\n"), errors: 1, warnings: 0 },
    };
    print(&report.text)?;
    Ok(if report.errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is said about a folder.
#[derive(Default)]
struct Report {
    text: String,
    errors: usize,
    warnings: usize,
}

impl Report {
    fn of(source: &SourceTree, format: Format) -> Self {
        let mut report = Self::default();
        for migration in &source.migrations {
            report.migration(migration);
        }
        for finding in source.findings.iter().chain(&lint::findings(source, format)) {
            report.warnings += 1;
            report.say(&format!("warning: {}: {}: {}", finding.check, finding.message, finding.remedy));
        }
        let own = source.own().count();
        let mut total = vec![counted(own, "migration")];
        total.extend(
            (source.migrations.len() > own)
                .then(|| counted(source.migrations.len() - own, "file") + " of phases"),
        );
        let problems = [(report.errors, "error"), (report.warnings, "warning")];
        total.extend(
            problems.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what)),
        );
        report.say(&total.join(", "));
        report
    }

    /// One line: names of files may hold anything.
    fn say(&mut self, line: &str) {
        self.text += &visible(line);
        self.text.push('\n');
    }

    fn migration(&mut self, migration: &Migration) {
        match migration.script() {
            Err(error) => {
                self.errors += 1;
                self.say(&format!("{}: error: {error}", migration.file));
            }
            Ok(script) => {
                self.say(&format!(
                    "{}: {}, {}",
                    migration.file,
                    counted(script.statements.len(), "statement"),
                    how(script)
                ));
                for statement in script
                    .statements
                    .iter()
                    .filter(|statement| statement.kind != StatementKind::Transactional)
                {
                    self.say(&format!("  line {}: {}", statement.line, describe(statement)));
                }
            }
        }
    }
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
        _ => format!(
            "cannot run in a transaction, so it runs alone: {}",
            redact::statement(statement.sql(), 80)
        ),
    }
}
