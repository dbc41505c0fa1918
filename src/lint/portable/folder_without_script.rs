//! A folder without migration.sql among the migrations, for which Prisma stops (P3015). Sluice passes over it
//! where its name begins with no digit.

use super::{Objection, beside};
use crate::migrations::SourceTree;

pub(super) fn rule(source: &SourceTree) -> Vec<Objection<'static>> {
    let folders = source.entries.iter().filter_map(|entry| entry.strip_suffix('/'));
    let empty = folders.filter(|folder| source.own().all(|migration| migration.name != *folder));
    let finding = |folder: &str| {
        let message = format!(
            "Prisma fails with P3015 as long as the folder {folder:?} lies here, which has no migration.sql"
        );
        beside(folder, message, "move it out of the folder of migrations")
    };
    empty.filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::About, *};
    use crate::migrations::Migration;

    #[test]
    fn files_and_migrations_are_silent() {
        let entries = ["1_a/", "migration_lock.toml", "notes/"].map(str::to_owned).into();
        let migrations = vec![Migration::new("1_a".into(), "1_a/migration.sql".into(), "")];
        let found = rule(&SourceTree { migrations, entries, ..SourceTree::default() });
        assert!(
            matches!(&found[..], [Objection { about: About::Source(object), .. }] if object == "notes"),
            "{found:?}"
        );
    }
}
