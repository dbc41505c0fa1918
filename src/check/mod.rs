//! Checks of the schema: one file per check, each with its facts, its catalog query and a judge that is a pure function of rows.
//!
//! The migrate stage asks before COMMIT, in its own transaction; the verify stage asks again from outside. Nothing here commits,
//! and nothing stays: each check runs inside a savepoint that is rolled back, with everything it set, wrote and became.

mod asked;
mod beside;
mod column;
mod condition;
mod convention;
mod enum_required;
mod equality;
mod foreign_key_indexed;
mod foreign_key_required;
mod foreign_key_set_null;
mod foreign_key_validated;
mod history_privileges;
mod index_migration;
mod index_redundant;
mod index_required;
mod index_unattached;
mod index_valid;
mod meta;
mod orphans;
mod orphans_elsewhere;
mod owned;
mod plan_uses_index;
mod query_assertion;
mod relation;
mod rls_cascade;
mod rls_condition;
mod rls_enabled;
mod rls_forced;
mod rls_function;
mod rls_index;
mod rls_partition;
mod rls_per_row;
mod rls_policies;
mod rls_privileges;
mod rls_role;
mod rls_rule;
mod rls_setting;
mod rls_truncate;
mod rls_uncovered;
mod rls_view;
mod row_count;
mod rows_kept;
mod schema_exists;
mod sql;
mod table_count;
mod table_required;
mod tenancy;
mod tenant_isolation;
mod trial;
mod volatile;

use std::collections::BTreeMap;

pub use beside::{BESIDE, Beside, When};
pub use foreign_key_indexed::{Began, release_begins};
use futures::future::BoxFuture;
pub use history_privileges::history_privileges;
pub use meta::Meta;
pub use rows_kept::{RowsBefore, count_rows};
use sqlx::PgConnection;

use crate::{
    api::{Finding, IndexVerification, RowLevelSecurity, Severity},
    postgres::{ConnectionUrl, InvalidUrl, log_whole, said, search_path},
    validate::{Demands, ValidatedMigration},
};

/// What a check is about; the migrate stage chooses by it what can be asked before COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// Tenants never see each other.
    Isolation,
    /// Indexes are there and work.
    Index,
    /// Tables, keys and names are what was meant; read from the catalog alone.
    Structure,
    /// Rows are what was meant. Takes as long as reading them takes, so nobody asks while a migration holds its locks.
    Data,
    /// What one transaction of a migration does to rows: asked before each COMMIT, and never from outside.
    Change,
}

/// What is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The schemas every check looks at.
    pub schemas: Vec<String>,
    /// Tenant isolation, where the manifest asks for it.
    pub row_level_security: Option<RowLevelSecurity>,
    /// Index checks.
    pub indexes: IndexVerification,
    /// Everything else.
    pub demands: Demands,
    /// The names of the migrations in the source.
    pub migrations: Vec<String>,
    /// How many rows there were before the transaction that is judged; nothing where no transaction is.
    pub rows_before: Option<RowsBefore>,
    /// When the release that is verified began; nothing where no release is.
    pub began: Option<Began>,
    /// The other databases by their names, for whoever may connect to them.
    pub elsewhere: BTreeMap<String, Result<ConnectionUrl, InvalidUrl>>,
}

impl Scope {
    /// What a manifest asks for.
    pub fn of(manifest: &ValidatedMigration) -> Self {
        Self {
            schemas: manifest.schemas.clone(),
            row_level_security: manifest.row_level_security.clone(),
            indexes: manifest.indexes.clone(),
            demands: manifest.demands.clone(),
            ..Self::default()
        }
    }

    /// With the names of the migrations in the source.
    #[must_use]
    pub fn with_migrations<'a>(mut self, names: impl Iterator<Item = &'a String>) -> Self {
        self.migrations = names.cloned().collect();
        self
    }
}

/// One check: what it is, when it is asked, and how its facts are gathered and judged. A new one is a file and a line in [`CHECKS`].
pub struct Check {
    /// What it is.
    pub meta: &'static Meta,
    /// Whether the manifest asks for it.
    asks: fn(&Scope) -> bool,
    look: Look,
}

/// Finds facts and judges them.
type Look = for<'a> fn(&'a mut PgConnection, &'a Scope) -> BoxFuture<'a, Result<Vec<Finding>, CheckError>>;

/// Every check, in the order of a report: what endangers tenants first.
pub static CHECKS: &[Check] = &[
    rls_role::CHECK,
    rls_enabled::CHECK,
    rls_forced::CHECK,
    rls_policies::CHECK,
    rls_condition::CHECK,
    rls_partition::CHECK,
    rls_view::CHECK,
    rls_rule::CHECK,
    rls_function::CHECK,
    rls_setting::CHECK,
    rls_per_row::CHECK,
    rls_index::CHECK,
    rls_truncate::CHECK,
    rls_cascade::CHECK,
    rls_uncovered::CHECK,
    rls_privileges::CHECK,
    tenant_isolation::CHECK,
    schema_exists::CHECK,
    index_valid::CHECK,
    index_unattached::CHECK,
    index_required::CHECK,
    plan_uses_index::CHECK,
    index_redundant::CHECK,
    foreign_key_indexed::CHECK,
    foreign_key_required::CHECK,
    foreign_key_validated::CHECK,
    foreign_key_set_null::CHECK,
    table_required::CHECK,
    table_count::CHECK,
    enum_required::CHECK,
    convention::primary_key::CHECK,
    convention::audit_columns::CHECK,
    convention::tables::CHECK,
    convention::columns::CHECK,
    convention::enum_values::CHECK,
    convention::indexes::CHECK,
    convention::foreign_keys::CHECK,
    convention::migrations::CHECK,
    query_assertion::CHECK,
    row_count::CHECK,
    rows_kept::CHECK,
    orphans::CHECK,
    orphans_elsewhere::CHECK,
];

/// A check could not be carried out.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {}", said(.cause))]
pub struct CheckError {
    /// What was asked.
    pub action: &'static str,
    /// Why there is no answer.
    #[source]
    pub cause: sqlx::Error,
}

impl CheckError {
    /// PostgreSQL is still busy with the question, so the session answers nothing else and must be closed.
    pub fn is_unfinished(&self) -> bool {
        matches!(&self.cause, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
    }
}

/// Adds what was asked to an error of the driver.
trait Asked<T> {
    /// Names what was asked, verb first.
    fn asked(self, action: &'static str) -> Result<T, CheckError>;
}

impl<T> Asked<T> for Result<T, sqlx::Error> {
    fn asked(self, action: &'static str) -> Result<T, CheckError> {
        self.map_err(|cause| {
            log_whole(&cause);
            CheckError { action, cause }
        })
    }
}

/// Carries out every check of the aspects, inside the caller's transaction, and leaves nothing behind. Errors come first, then
/// the order of [`CHECKS`], then the object's name: a short report shows what matters, and the same schema gives the same report.
pub async fn run(connection: &mut PgConnection, scope: &Scope, aspects: &[Aspect]) -> Result<Vec<Finding>, CheckError> {
    let mut ranked: Vec<(Severity, usize, Finding)> = Vec::new();
    for (rank, check) in CHECKS.iter().enumerate() {
        if aspects.contains(&check.meta.aspect) && check.is_asked(scope) {
            let findings = apart(connection, scope, check).await?;
            ranked.extend(findings.into_iter().map(|finding| (finding.severity, rank, finding)));
        }
    }
    ranked.sort();
    ranked.dedup();
    Ok(ranked.into_iter().map(|(_, _, finding)| finding).collect())
}

/// Rolling back to the savepoint puts back rows, locks, the role and every setting, and works after an error too. The search path: what
/// a check asks is Sluice's own, whatever the one before left. The limits: the
/// catalog prints expressions of a table only to those who may lock it, so a check can wait for somebody else. Without JIT: on a large
/// catalog the estimates are wild, and compiling the query took 2 s where running it took 15 ms.
async fn apart(connection: &mut PgConnection, scope: &Scope, check: &Check) -> Result<Vec<Finding>, CheckError> {
    let begin = concat!(
        "SAVEPOINT sluice_check; SET LOCAL search_path = ",
        search_path!(),
        "; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s'; SET LOCAL jit = off"
    );
    sqlx::raw_sql(begin).execute(&mut *connection).await.asked("set a savepoint for a check, inside an open transaction")?;
    let found = (check.look)(connection, scope).await;
    if found.as_ref().is_err_and(CheckError::is_unfinished) {
        return found;
    }
    let undone = sqlx::raw_sql("ROLLBACK TO SAVEPOINT sluice_check; RELEASE SAVEPOINT sluice_check").execute(connection).await;
    let findings = found?;
    undone.asked("undo what a check did")?;
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_an_id_of_its_own_that_can_be_a_file_name() {
        let ids: BTreeSet<_> = CHECKS.iter().map(|check| check.meta.id).collect();
        assert_eq!(ids.len(), CHECKS.len());
        assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')), "{ids:?}");
    }
}
