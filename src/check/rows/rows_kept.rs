//! No transaction of a migration loses rows of the tables that the manifest names.
//! Made by the migrate stage alone: it counts after BEGIN, hands the counts over in the scope, and counts
//! again before COMMIT, in the same transaction. A stage that has no counts from before has nothing to
//! compare.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Compare, Finding, Severity},
    check::Check,
    inspect::{
        Aspect, CheckError, Counted, Meta, RowsBefore, Scope, count, relation,
        trial::{GRANTED, Refusal},
    },
};

const META: Meta = Meta {
    id: CheckId::RowsKept,
    title: "No transaction of a migration loses rows of the tables that the manifest names",
    condition: "A table of `spec.verify.rowCounts.tables` has `compare`, and before COMMIT it has fewer rows \
        than before the first statement \
                (`NotLessThanBefore`), or not as many (`Equal`); or it is not there any more; or its rows \
                cannot be counted, because the migration \
                role may not read them all, or not within 60 s. Checked in each transaction of a migration, \
                in \
                the session that migrates: a release that \
                is several transactions is compared in each. Both counts are READ COMMITTED. With `Equal` \
                no other session writes to the table from the \
                first count until COMMIT (SHARE ROW EXCLUSIVE; readers go on), so the difference is the \
                migration's own. With \
                `NotLessThanBefore` the application goes on writing: rows that it inserts in between can \
                hide as many lost ones, and rows that it \
                deletes count as lost. A number says nothing about which rows they are. A table that the \
                transaction creates has nothing to \
                compare, and a statement that runs outside a transaction (CREATE INDEX CONCURRENTLY, VACUUM) \
                is not compared.",
    effect: "The migration dropped rows that no person meant to lose: a join that found no partner, a DELETE \
        with a condition too wide.",
    remedy: "The transaction was rolled back, so nothing is lost yet. Mend the statements; if rows are meant \
        to go, take `compare` off that table for \
             this release.",
    severity: Severity::Error,
    aspect: Aspect::Change,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| scope.rows_before.is_some(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(RowsBefore(before)) = &scope.rows_before else { return Ok(Vec::new()) };
    let names: Vec<String> = before.iter().map(|before| before.written.clone()).collect();
    let relations = relation::find(connection, &names, &scope.schemas).await?;
    let mut found = Vec::new();
    for before in before {
        let now = match relation::resolve(&relations, &before.written, &scope.schemas) {
            Some(table) => Some(count(connection, table).await?),
            None => None,
        };
        found.extend(judge(before, now.as_ref()));
    }
    Ok(found)
}

/// `now` is nothing where the table is not there any more.
fn judge(before: &Counted, now: Option<&Result<i64, Refusal>>) -> Option<Finding> {
    let table = before.table.display();
    let untold = |when: &str, refusal: &Refusal| {
        format!("the rows of {table} cannot be counted {when}: {}", refusal.explain(GRANTED))
    };
    let message = match (&before.rows, now) {
        (Err(refusal), _) => untold("before the first statement", refusal),
        (Ok(rows), None) => {
            format!(
                "{table} had {} before the first statement, and there is no table of that name before COMMIT",
                count_of(*rows)
            )
        }
        (Ok(_), Some(Err(refusal))) => untold("before COMMIT", refusal),
        (Ok(rows), Some(Ok(now))) => {
            let difference = match now - rows {
                lost if lost < 0 => format!("{} lost", -lost),
                more if more > 0 && before.compare == Compare::Equal => {
                    format!("{more} more, and {:?} wants as many", Compare::Equal)
                }
                _ => return None,
            };
            format!(
                "{table} had {} before the first statement and has {} before COMMIT: {difference}",
                count_of(*rows),
                count_of(*now)
            )
        }
    };
    let remedy = "search for a DELETE, a TRUNCATE or a join without partners among the statements; if rows \
        are \
        meant to go, take compare off \
                  this table in spec.verify.rowCounts for this release";
    Some(META.finding(table, message, remedy))
}

fn count_of(rows: i64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::relation::Relation;

    fn told(compare: Compare, before: i64, now: Option<i64>) -> Option<String> {
        let table = Relation { id: 1, schema: "s".into(), name: "t".into() };
        let before = Counted { written: "t".into(), compare, table, rows: Ok(before) };
        judge(&before, now.map(Ok).as_ref()).map(|finding| finding.message)
    }

    #[test]
    fn a_lost_row_is_told_with_both_numbers_and_more_rows_only_where_equal_is_asked() {
        use Compare::{Equal, NotLessThanBefore};
        for compare in [Equal, NotLessThanBefore] {
            assert_eq!(told(compare, 3, Some(3)), None);
            let lost = "s.t had 3 rows before the first statement and has 1 row before COMMIT: 2 lost";
            assert_eq!(told(compare, 3, Some(1)).as_deref(), Some(lost));
            assert!(told(compare, 0, None).is_some_and(|message| message.contains("no table of that name")));
        }
        assert_eq!(told(NotLessThanBefore, 3, Some(4)), None);
        assert!(
            told(Equal, 3, Some(4))
                .is_some_and(|message| message.ends_with("1 more, and Equal wants as many"))
        );
    }

    #[test]
    fn what_could_not_be_counted_is_never_a_pass() {
        let table = Relation { id: 1, schema: "s".into(), name: "t".into() };
        let refusal = Refusal { code: "42501".into(), message: "no".into() };
        let before = |rows| Counted {
            written: "t".into(),
            compare: Compare::NotLessThanBefore,
            table: table.clone(),
            rows,
        };
        assert!(judge(&before(Err(refusal.clone())), Some(&Ok(1))).is_some());
        assert!(judge(&before(Ok(1)), Some(&Err(refusal))).is_some());
    }
}
