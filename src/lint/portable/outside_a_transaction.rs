//! A statement that PostgreSQL refuses in a transaction (25001), in a file with others. Sluice runs it alone;
//! Prisma sends the file whole.

use super::{Fault, File};
use crate::{redact, sql::Needs};

pub(super) fn rule(file: &File<'_>) -> Option<Fault> {
    if file.statements.len() < 2 {
        return None;
    }
    let mut alone = file
        .statements
        .iter()
        .filter(|statement| matches!(statement.needs, Needs::BuildIndex(_) | Needs::Outside { .. }));
    let first = alone.next()?;
    let further: Vec<String> = alone.map(|statement| statement.line.to_string()).collect();
    let and = if further.is_empty() {
        String::new()
    } else {
        format!(", and those of line {}", further.join(", "))
    };
    Some(Fault {
        line: first.line,
        message: format!(
            "Prisma fails with SQLSTATE 25001: it sends the {} statements of the file as one query, which \
                PostgreSQL runs as one transaction, \
             and this one is refused there{and}: {}",
            file.statements.len(),
            redact::statement(first.sql, 60)
        ),
        remedy: "give each such statement a migration of its own, with nothing else in the file, no BEGIN, \
            COMMIT or SET either"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn alone_in_its_file_it_is_silent_whatever_comments_there_are() {
        let silent: [String; 0] = [];
        for sql in [
            "-- a;\nCREATE INDEX CONCURRENTLY i ON t (a);\n;-- b",
            "VACUUM",
            "REINDEX TABLE t; SELECT 1;",
            "SELECT 1; CREATE INDEX i ON t (a)",
        ] {
            assert_eq!(said(&[sql]), silent, "{sql}");
        }
    }

    #[test]
    fn with_anything_beside_it_the_first_place_and_the_others_are_named() {
        let said = said(&[
            "SELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM t;\nDROP INDEX CONCURRENTLY j;",
        ]);
        assert!(
            said.len() == 1 && said[0].starts_with("0:2: ") && said[0].contains("those of line 3, 4"),
            "{said:?}"
        );
    }
}
