//! A statement that PostgreSQL takes only between BEGIN and COMMIT (25P01). Sluice's own transaction is
//! around each file; what PostgreSQL makes of a query with several statements is enough for LOCK and DECLARE,
//! not for savepoints and AND CHAIN.

use super::{Fault, File, file::Sent};
use crate::{
    redact,
    sql::{Control, Cursor},
};

pub(super) fn rule(file: &File<'_>) -> Option<Fault> {
    let only = file.statements.len() == 1;
    let found = file.statements.iter().find(|statement| {
        !statement.bracketed && (needs_begin(statement) || only && needs_others(statement))
    })?;
    Some(Fault {
        line: found.line,
        message: format!(
            "Prisma fails with SQLSTATE 25P01: outside of BEGIN and COMMIT PostgreSQL refuses {}",
            redact::statement(found.sql, 60)
        ),
        remedy: "write BEGIN; before it and COMMIT; at the end of the file, or remove it".to_owned(),
    })
}

fn needs_begin(statement: &Sent<'_>) -> bool {
    let mut cursor = Cursor::of(statement.sql);
    let back = cursor.eat(&["ROLLBACK"]);
    back || statement.begins(&["SAVEPOINT", "RELEASE"])
        || statement.control == Some(Control::Commit { chain: true })
}

fn needs_others(statement: &Sent<'_>) -> bool {
    let cursor = Cursor::of(statement.sql);
    cursor.at("LOCK") || cursor.at("DECLARE") && !cursor.mentions("HOLD")
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn savepoints_and_chains_need_a_begin_and_a_lock_needs_company() {
        for sql in [
            "SELECT 1;\nSAVEPOINT a;\nRELEASE a;",
            "SELECT 1;\nCOMMIT AND CHAIN;\nSELECT 2;",
            "BEGIN; SELECT 1; COMMIT;\nSAVEPOINT a;",
            "\nLOCK TABLE t",
            "\nDECLARE c CURSOR FOR SELECT 1",
        ] {
            let said = said(&[sql]);
            assert!(
                said.len() == 1 && said[0].starts_with("0:2: ") && said[0].contains("25P01"),
                "{sql}: {said:?}"
            );
        }
        let silent: [String; 0] = [];
        for sql in [
            "BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT AND CHAIN; SAVEPOINT b; COMMIT;",
            "LOCK TABLE t; SELECT 1;",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        ] {
            assert_eq!(said(&[sql]), silent, "{sql}");
        }
    }
}
