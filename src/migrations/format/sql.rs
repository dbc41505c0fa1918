//! Plain SQL: `NAME.sql`, with a history of Sluice's own.

use std::{fs, path::Path};

use super::{FormatRules, flat};
use crate::migrations::order;

pub(super) static RULES: FormatRules = FormatRules {
    name: "Sql",
    layout: "each migration is a file NAME.sql",
    reads: "files NAME.sql",
    read: flat,
    is_in,
    sort: |migrations| order::sort(migrations, |migration| &migration.name),
    check: |_, _| Ok(()),
    schema: Some("sluice"),
    table: "migrations",
    locks: &[],
    is_of_another_tool: false,
};

fn is_in(folder: &Path) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        Path::new(name.as_ref()).extension().is_some_and(|extension| extension == "sql")
            && entry.path().is_file()
    })
}
