//! A source without any migration: what lies in its folder, and what may have been meant.

use std::path::Path;

use super::{FormatRules, format::folders};

/// How many entries are named.
const NAMED: usize = 5;

/// What lies there, in words. PURE.
pub(super) fn found(entries: &[String]) -> String {
    let mut names: Vec<String> = entries.iter().map(|name| format!("{name:?}")).collect();
    names.sort();
    match names.len() {
        0 => "it is empty".to_owned(),
        1..=NAMED => format!("it has only {}", names.join(", ")),
        all => format!("it has only {} and {} more", names[..NAMED].join(", "), all - NAMED),
    }
}

/// The folder below that has migrations, or the other format, should one of them fit.
pub(super) fn hint(format: &FormatRules, folder: &Path) -> String {
    let below = folders(folder).into_iter().find(|name| (format.is_in)(&folder.join(name)));
    let layout = if folder.join("..data").exists() {
        "each migration is a key NAME.sql of a ConfigMap"
    } else {
        format.layout
    };
    match (format.another_in(folder), below) {
        // Its files may lie beside folders of this format, which are meant then.
        (Some(other), below) if below.is_none() || other.is_of_another_tool => {
            format!("; {layout}, and format {} reads {}", other.name, other.reads)
        }
        (_, Some(name)) => format!(", and migrations lie in its folder {name:?}: give that one as the path"),
        (_, None) => format!("; {layout}: check the path"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::{
        api::{Format, Reason},
        migrations::load,
    };

    fn refusal(format: Format, files: &[&str]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, "SELECT 1;").expect("a file");
        }
        let tree = load(format, folder.path()).expect("loads");
        let error = tree.must_not_be_empty(format, folder.path()).expect_err("is refused");
        assert_eq!(error.reason(), Reason::SourceInvalid);
        error.to_string()
    }

    #[test]
    fn a_wrong_path_is_told_with_what_lies_there_and_what_may_have_been_meant() {
        for (format, files, expected) in [
            (Format::Prisma, &[][..], "it is empty; each migration is a folder NAME"),
            (
                Format::Prisma,
                &["schema.prisma", "migrations/1_init/migration.sql"],
                "migrations lie in its folder \"migrations\"",
            ),
            (Format::Prisma, &["1_init.sql"], "format Sql reads files NAME.sql"),
            (Format::Sql, &["1_init/migration.sql"], "format Prisma reads NAME/migration.sql"),
            (
                Format::Prisma,
                &["package.json", "src/index.ts"],
                "it has only \"package.json\", \"src/\"; each",
            ),
            (Format::Prisma, &["a", "b", "c", "d", "e", "f"], "\"e\" and 1 more"),
        ] {
            let text = refusal(format, files);
            assert!(text.contains(expected) && text.contains("allowEmpty"), "{text}");
        }
    }

    #[test]
    fn a_source_with_a_migration_is_not_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("1_init")).expect("a folder");
        fs::write(folder.path().join("1_init/migration.sql"), "SELECT 1;").expect("a file");
        let tree = load(Format::Prisma, folder.path()).expect("loads");
        assert!(tree.must_not_be_empty(Format::Prisma, folder.path()).is_ok());
    }
}
