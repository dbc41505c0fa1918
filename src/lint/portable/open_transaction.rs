//! A BEGIN whose COMMIT is missing. To Sluice it is a mark. In Prisma's session the transaction stays open
//! until the next COMMIT, and what was done in it, and the history's rows for it and the files after it, are
//! gone when the session ends: Prisma says that all is applied.

use super::{Fault, File};
use crate::sql::Control;

pub(super) fn rule(file: &File<'_>) -> Option<Fault> {
    let ends_open = match file.statements.last()? {
        last if last.bracketed => !matches!(last.control, Some(Control::Commit { chain: false })),
        last => matches!(last.control, Some(Control::Begin(_))),
    };
    let opens = |control: Option<Control>| {
        matches!(control, Some(Control::Begin(_) | Control::Commit { chain: true }))
    };
    let begin = file.statements.iter().rfind(|statement| opens(statement.control)).filter(|_| ends_open)?;
    Some(Fault {
        line: begin.line,
        message:
            "Prisma says that this file is applied and keeps nothing of it: the transaction that begins \
            here is not committed, and is rolled \
                  back with the files after it when Prisma's session ends"
                .to_owned(),
        remedy: "write COMMIT; at the end of the file, or take BEGIN; out".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn every_begin_has_its_commit() {
        for sql in
            ["\nBEGIN; SELECT 1;", "BEGIN; SELECT 1; END;\nBEGIN", "BEGIN; SELECT 1;\nCOMMIT AND CHAIN;"]
        {
            let said = said(&[sql]);
            assert!(
                said.len() == 1 && said[0].starts_with("0:2: ") && said[0].contains("keeps nothing"),
                "{sql}: {said:?}"
            );
        }
        let silent: [String; 0] = [];
        for sql in ["BEGIN; SELECT 1; COMMIT;", "SELECT 1; COMMIT; SELECT 2;", "BEGIN; BEGIN; SELECT 1; END"]
        {
            assert_eq!(said(&[sql]), silent, "{sql}");
        }
    }
}
