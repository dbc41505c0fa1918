//! Rows without a tenant: the tenant column may be null, and then a policy may let such a row through to
//! every tenant.

use super::{
    attack::{Attack, Observation, ReadResult, Rows, Tenants, WriteResult},
    attempt::Identity,
};
use crate::inspect::CheckError;

/// What came of a row without a tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct WithoutTenant {
    /// One that was made for the attempt, as a tenant.
    pub(super) seen: ReadResult,
    /// Whether a tenant can take the tenant off an own row.
    pub(super) made: WriteResult,
    /// No such row could be made to read.
    pub(super) untried: bool,
}

impl Attack<'_, '_> {
    /// Takes the tenant off a row, as the caller, and reads it as a tenant; then does the same as that
    /// tenant.
    pub(super) async fn without_tenant(
        &mut self,
        tenants: &Tenants,
        rows: &Rows<'_, '_>,
        seen: &mut Observation,
    ) -> Result<(), CheckError> {
        let nullable = rows
            .relation
            .column(self.target.tenant)
            .is_some_and(|column| !column.not_null && !column.generated);
        if !nullable || self.target.view.is_some() || seen.unseeded.is_some() {
            return Ok(());
        }
        let (table, column, first) = (self.target.qualified(), self.column(), self.attempts.first_row_only());
        let take = |condition: &str| format!("UPDATE {table} SET {column} = NULL WHERE {condition}");
        if self.target.select_tenant {
            let own = self.first_of(&tenants.owner);
            let look = (Identity::app(&tenants.other), self.count(&format!("{column} IS NULL")));
            let taken = (Identity::caller(Some(&tenants.owner)), take(&own));
            seen.without_tenant.seen = match self.attempts.make_all(&[taken, look]).await? {
                Some((rows, _)) => {
                    let count = rows.last().and_then(|row| row.first()?.as_ref()?.parse().ok());
                    count.map_or(ReadResult::Skipped, ReadResult::Rows)
                }
                None => ReadResult::Skipped,
            };
        }
        seen.without_tenant.untried =
            self.target.select_any && seen.without_tenant.seen == ReadResult::Skipped;
        if self.target.update_tenant {
            seen.without_tenant.made = self.write(Identity::app(&tenants.owner), &take(&first)).await?;
        }
        Ok(())
    }
}
