//! `-- sluice: no-transaction` in a file with several statements. Prisma does not know it and makes one
//! transaction of them.

use super::{Fault, File, outside_a_transaction};

pub(super) fn rule(file: &File<'_>) -> Option<Fault> {
    let line = file.apart()?;
    if file.statements.len() < 2 || outside_a_transaction::rule(file).is_some() {
        return None;
    }
    Some(Fault {
        line,
        message: format!(
            "Prisma does not know this directive and runs the {} statements of the file in one transaction: \
                their locks are held to its end, and a CALL \
             or DO that commits fails with SQLSTATE 2D000",
            file.statements.len()
        ),
        remedy: "give each statement that must commit by itself a migration of its own".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn one_statement_needs_no_directive_to_run_alone() {
        let said_of = said(&["-- why\n-- sluice: no-transaction\nUPDATE t SET a = 1;\nUPDATE t SET b = 1;"]);
        assert!(
            said_of.len() == 1 && said_of[0].starts_with("0:2: ") && said_of[0].contains("2D000"),
            "{said_of:?}"
        );
        let silent: [String; 0] = [];
        assert_eq!(said(&["-- sluice: no-transaction\nCALL p();"]), silent);
        let refused = said(&["-- sluice: no-transaction\nSELECT 1;\nVACUUM t;"]);
        assert!(refused.len() == 1 && refused[0].contains("25001"), "the refusal says it all: {refused:?}");
    }
}
