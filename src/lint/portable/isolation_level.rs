//! An isolation level that is asked for when the transaction has begun its work (25001). Sluice begins a
//! transaction there; in a query with several statements PostgreSQL goes on in the one that it has made of
//! them.

use super::{Fault, File};
use crate::sql::Control;

pub(super) fn rule(file: &File<'_>) -> Option<Fault> {
    let worked = |before: usize| {
        let (earlier, this) = (&file.statements[..before], &file.statements[before]);
        earlier.iter().any(|other| {
            other.transaction == this.transaction
                && other.control.is_none()
                && !other.begins(&["SET", "RESET"])
        })
    };
    let asks =
        |control: Option<Control>| matches!(control, Some(Control::Begin(Some(_)) | Control::Set(Some(_))));
    let (_, found) =
        file.statements.iter().enumerate().find(|(at, statement)| asks(statement.control) && worked(*at))?;
    Some(Fault {
        line: found.line,
        message: "Prisma fails with SQLSTATE 25001: it sends the file as one query, whose transaction has \
            begun before this line, and PostgreSQL \
                  sets no isolation level then"
            .to_owned(),
        remedy: "write COMMIT; before this line, or move what stands before it to a migration of its \
            own"
        .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn a_level_comes_first_in_its_transaction() {
        for sql in [
            "CREATE TABLE a (b int);\nBEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;",
            "SELECT set_config('a.b', '1', true);\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1;",
        ] {
            let said = said(&[sql]);
            assert!(
                said.len() == 1 && said[0].starts_with("0:2: ") && said[0].contains("25001"),
                "{sql}: {said:?}"
            );
        }
        let silent: [String; 0] = [];
        for sql in [
            "SET LOCAL a.b = 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1;",
            "SELECT 1; COMMIT; BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;",
        ] {
            assert_eq!(said(&[sql]), silent, "{sql}");
        }
    }
}
