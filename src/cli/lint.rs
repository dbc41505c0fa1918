//! `sluice lint`: what Sluice reads in a folder of migrations, without a database.

use std::{path::PathBuf, process::ExitCode};

use crate::{
    api::Format,
    migrations::{Statement, StatementKind, load, split},
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
enum FormatName {
    #[value(alias = "prisma")]
    Prisma,
    #[value(alias = "sql")]
    Sql,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let format = if args.format == FormatName::Prisma { Format::Prisma } else { Format::Sql };
    let source = match load(format, &args.source) {
        Ok(source) => source,
        Err(error) => {
            println!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = false;
    for finding in &source.findings {
        println!("{:?}: {}: {}", finding.severity, finding.message, finding.remedy);
    }
    for migration in &source.migrations {
        match split(&migration.sql) {
            Err(error) => {
                failed = true;
                println!("{}: error: {error}", migration.file);
            }
            Ok(script) => {
                let mode = if script.is_transactional() { "one transaction" } else { "step by step" };
                println!("{}: {} statement(s), {mode}", migration.file, script.statements.len());
                if let Some(why) = &script.unsplit {
                    println!("  could not be parsed ({why}); it runs as one string in a transaction, and PostgreSQL judges it");
                }
                for statement in script.statements.iter().filter(|statement| statement.kind != StatementKind::Transactional) {
                    println!("  line {}: {}", statement.line, describe(statement));
                }
            }
        }
    }
    println!("{} migration(s)", source.migrations.len());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn describe(statement: &Statement) -> String {
    let beginning: String = statement.sql.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
    match &statement.kind {
        StatementKind::AddEnumValue { .. } => format!("adds an enum value, which can be used after COMMIT: {beginning}"),
        _ => format!("cannot run in a transaction, so it runs alone: {beginning}"),
    }
}
