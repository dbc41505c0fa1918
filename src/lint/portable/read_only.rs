//! A transaction that says READ ONLY and writes (25006). Sluice leaves READ ONLY out, because it writes its
//! row in the same transaction.

use super::{Fault, File, file::Sent};
use crate::sql::{Control, Cursor};

const READS: [&str; 9] = ["SELECT", "VALUES", "TABLE", "SHOW", "SET", "RESET", "EXPLAIN", "DECLARE", "FETCH"];

pub(super) fn rule(file: &File<'_>) -> Option<Fault> {
    let (at, _) = file.statements.iter().enumerate().find(|(_, statement)| says_read_only(statement))?;
    let this = &file.statements[at];
    let mut rest =
        file.statements[at + 1..].iter().take_while(|statement| statement.transaction == this.transaction);
    let writes = rest.find(|statement| statement.control.is_none() && !statement.begins(&READS))?;
    Some(Fault {
        line: writes.line,
        message: format!(
            "Prisma fails with SQLSTATE 25006: line {} makes the transaction READ ONLY, which Sluice leaves \
                out",
            this.line
        ),
        remedy: "take READ ONLY out".to_owned(),
    })
}

/// The last of its modes that says which counts.
fn says_read_only(statement: &Sent<'_>) -> bool {
    if !matches!(statement.control, Some(Control::Begin(_) | Control::Set(_))) {
        return false;
    }
    let cursor = Cursor::of(statement.sql);
    let last = cursor
        .clone()
        .rest()
        .filter(|token| ["ONLY", "WRITE"].iter().any(|word| cursor.text(*token).eq_ignore_ascii_case(word)))
        .last();
    last.is_some_and(|token| cursor.text(token).eq_ignore_ascii_case("ONLY"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn what_reads_only_is_silent() {
        let said_of = said(&["BEGIN READ ONLY;\nSELECT 1;\nCREATE TABLE a (b int);\nCOMMIT;"]);
        assert!(
            said_of.len() == 1 && said_of[0].starts_with("0:3: ") && said_of[0].contains("25006"),
            "{said_of:?}"
        );
        let silent: [String; 0] = [];
        for sql in [
            "BEGIN READ ONLY; SELECT 1; COMMIT; DROP TABLE a;",
            "BEGIN READ ONLY, READ WRITE; DROP TABLE a; COMMIT;",
        ] {
            assert_eq!(said(&[sql]), silent, "{sql}");
        }
    }
}
