//! An UPDATE or DELETE of a whole table in one statement. A condition that compares with a constant or a
//! parameter leaves few; what else a condition leaves, only the rehearsal knows.

use super::{
    Found,
    stmt::{ChangeKind, changes},
    text::Text,
};
use crate::migrations::StatementKind;

pub(super) fn found(text: &Text<'_>) -> Vec<Found> {
    let is_batched = |kind: &StatementKind| matches!(kind, StatementKind::Backfill(_));
    let whole = text.statements.iter().filter(|(_, place)| !text.is_run(place, is_batched));
    whole
        .flat_map(|(stmt, _)| changes(stmt))
        .filter(|change| change.kind != ChangeKind::Merge)
        .filter(|change| !change.condition.as_deref().is_some_and(is_narrow))
        .map(|change| Found::at(change.place))
        .collect()
}

/// It names single rows: `=` or `IN` with constants. `IS NULL`, `<>` and comparisons may be true of all.
fn is_narrow(condition: &str) -> bool {
    let upper = condition.to_uppercase();
    (upper.contains('=')
        && !upper.contains("<>")
        && !upper.contains("!=")
        && !upper.contains(">=")
        && !upper.contains("<="))
        || upper.contains(" IN (")
        || upper.contains("CURRENT OF")
}

#[cfg(test)]
mod tests {
    use super::super::super::{Preset, Tables, said};

    #[test]
    fn a_change_of_all_rows_is_named_and_one_of_few_is_not() {
        let of = |sql| said(&[sql], &Tables::default(), Preset::Standard).len();
        for sql in [
            "UPDATE t SET a = 1",
            "DELETE FROM t",
            "UPDATE t SET a = 1 WHERE a IS NULL",
            "DELETE FROM t WHERE a <> 1",
            "WITH gone AS (DELETE FROM t RETURNING a) INSERT INTO kept SELECT a FROM gone WHERE a = 1",
        ] {
            assert_eq!(of(sql), 1, "{sql}");
        }
        for sql in ["UPDATE t SET a = 1 WHERE id = 7", "DELETE FROM t WHERE kind IN ('a', 'b')"] {
            assert_eq!(of(sql), 0, "{sql}");
        }
        assert_eq!(of("-- sluice: backfill key=id\nUPDATE t SET a = 1;"), 0, "it runs in batches");
        assert_eq!(of("-- sluice: backfill key=id\nUPDATE t SET a = 1;\nUPDATE u SET a = 1;"), 1);
    }
}
