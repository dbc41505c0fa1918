//! Prisma Migrate: `NAME/migration.sql` beside `migration_lock.toml`, in the order of ICU's root collation.

use std::path::Path;

use super::{FormatRules, folders};
use crate::{
    api::{CheckId, Finding, Severity},
    migrations::{
        folder::{Entry, Folder},
        order,
        source::{SCRIPT, SourceError, SourceTree},
    },
};

pub(super) static RULES: FormatRules = FormatRules {
    name: "Prisma",
    layout: "each migration is a folder NAME with a file migration.sql",
    reads: "NAME/migration.sql",
    read,
    is_in: |folder| folders(folder).iter().any(|name| folder.join(name).join(SCRIPT).is_file()),
    sort: |migrations| order::sort(migrations, |migration| &migration.name),
    check: |folder, entry| {
        if entry.name == LOCK_FILE {
            check_lock_file(&folder.read(Path::new(LOCK_FILE), LOCK_FILE)?)
        } else {
            Ok(())
        }
    },
    schema: None,
    table: "_prisma_migrations",
    locks: &[LOCK],
    is_of_another_tool: true,
};

/// The lock that every Prisma engine takes.
const LOCK: i64 = 72_707_369;
const LOCK_FILE: &str = "migration_lock.toml";

/// `NAME/migration.sql` is the migration NAME.
fn read(folder: &Folder, entry: &Entry, tree: &mut SourceTree) -> Result<(), SourceError> {
    let script = Path::new(&entry.name).join(SCRIPT);
    if entry.is_dir && folder.has(&script) {
        tree.migrations.push(folder.migration(
            &entry.name,
            &entry.name,
            &format!("{}/{SCRIPT}", entry.name),
            &script,
        )?);
    } else if entry.is_dir && entry.name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(SourceError::NoScript(entry.name.clone()));
    } else if entry.is_dir || has_sql_suffix(&entry.name) {
        tree.findings.push(Finding {
            check: CheckId::StrayEntry,
            object: entry.name.clone(),
            severity: Severity::Warning,
            message: format!("{:?} is no migration and is never run", entry.name),
            remedy: format!("put its SQL into NAME/{SCRIPT}, or move it out of the folder of migrations"),
        });
    }
    Ok(())
}

fn has_sql_suffix(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

/// Prisma reads the first line that begins with `provider`; so do we, but forgive blanks.
fn check_lock_file(text: &str) -> Result<(), SourceError> {
    let line = text.lines().find(|line| line.starts_with("provider"));
    let provider = line
        .and_then(|line| line.split_once('='))
        .map(|(_, value)| value.trim().trim_matches('"').to_owned());
    match provider {
        Some(provider) if provider != "postgresql" => {
            Err(SourceError::Provider { file: LOCK_FILE, provider })
        }
        _ => Ok(()),
    }
}
