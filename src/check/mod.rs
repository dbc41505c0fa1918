//! Checks of the schema: one file per check, each with its facts, its catalog query and a judge that is a
//! pure function of rows.
//! The migrate stage checks before COMMIT, in its own transaction; the verify stage checks again from
//! outside. Nothing here commits, and nothing stays: each check runs inside a savepoint that is rolled back,
//! with everything it set, wrote and became.

mod convention;
mod enabled;
mod history_privileges;
mod index;
mod index_migration;
mod isolation;
#[cfg(test)]
mod pages;
mod rows;
mod stage_checks;
mod structure;

use futures::future::BoxFuture;
pub use history_privileges::history_privileges;
use sqlx::PgConnection;
pub use stage_checks::{STAGE_CHECKS, StageCheck, When};

use crate::{
    api::{Finding, Severity},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope},
    postgres::{Transaction, search_path},
};

/// One check: what it is, when it is made, and how its facts are gathered and judged. A new one is a file and
/// a line in its shelf's `CHECKS`.
pub struct Check {
    /// What it is.
    pub meta: &'static Meta,
    /// Whether the manifest asks for it.
    is_enabled: fn(&Scope) -> bool,
    inspect: Look,
}

/// Finds facts and judges them.
type Look = for<'a> fn(&'a mut PgConnection, &'a Scope) -> BoxFuture<'a, Result<Vec<Finding>, CheckError>>;

/// The shelves, in the order of a report: what endangers tenants first.
static SHELVES: [&[Check]; 5] =
    [isolation::CHECKS, index::CHECKS, structure::CHECKS, convention::CHECKS, rows::CHECKS];

/// Every check, in the order of a report.
pub fn all() -> impl Iterator<Item = &'static Check> {
    SHELVES.into_iter().flatten()
}

/// Carries out every check of the aspects inside a transaction, and leaves nothing behind. Errors
/// come first, then the order of [`all`], then the object's name: a short report shows what matters, and the
/// same schema gives the same report.
pub async fn run(
    transaction: &mut Transaction<'_>,
    scope: &Scope,
    aspects: &[Aspect],
) -> Result<Vec<Finding>, CheckError> {
    let mut ranked: Vec<(Severity, usize, Finding)> = Vec::new();
    for (rank, check) in all().enumerate() {
        if aspects.contains(&check.meta.aspect) && check.is_enabled(scope) {
            let findings = apart(transaction.session(), scope, check).await?;
            ranked.extend(findings.into_iter().map(|finding| (finding.severity, rank, finding)));
        }
    }
    ranked.sort();
    ranked.dedup();
    Ok(ranked.into_iter().map(|(_, _, finding)| finding).collect())
}

/// Rolling back to the savepoint puts back rows, locks, the role and every setting, and works after an error
/// too. The search path: what a check queries is Sluice's own, whatever the one before left. The limits: the
/// catalog prints expressions of a table only to those who may lock it, so a check can wait for another
/// session. Without JIT: on a large catalog the estimates are wild, and compiling the query took 2 s where
/// running it took 15 ms.
async fn apart(
    connection: &mut PgConnection,
    scope: &Scope,
    check: &Check,
) -> Result<Vec<Finding>, CheckError> {
    let begin = concat!(
        "SAVEPOINT sluice_check; SET LOCAL search_path = ",
        search_path!(),
        "; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s'; SET LOCAL jit = off"
    );
    sqlx::raw_sql(begin).execute(&mut *connection).await.context("set a savepoint for a check")?;
    let found = (check.inspect)(connection, scope).await;
    if found.as_ref().is_err_and(CheckError::is_unfinished) {
        return found;
    }
    let undone = sqlx::raw_sql("ROLLBACK TO SAVEPOINT sluice_check; RELEASE SAVEPOINT sluice_check")
        .execute(connection)
        .await;
    let findings = found?;
    undone.context("undo what a check did")?;
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CheckId;

    #[test]
    fn every_id_is_that_of_one_check_and_every_check_has_an_id_that_can_be_a_file_name() {
        let mut ids: Vec<&CheckId> = all().map(|check| &check.meta.id).collect();
        ids.extend(STAGE_CHECKS.iter().map(|beside| &beside.meta.id));
        ids.sort();
        assert_eq!(ids, CheckId::ALL.iter().collect::<Vec<_>>());
        let is_file_name =
            |id: &&&CheckId| id.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        assert_eq!(ids.iter().filter(|id| !is_file_name(id)).count(), 0, "{ids:?}");
    }
}
