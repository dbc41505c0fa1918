//! UPDATE and DELETE: giving an own row away, and reaching rows of others.

use super::{
    attack::{Attack, Observation, Rows, Tenants, WriteResult},
    attempt::Identity,
    value,
};
use crate::inspect::{CheckError, sql};

/// So many columns besides the tenant are written: a trigger may refuse one of them.
const COLUMNS: usize = 2;

/// A statement on another tenant's rows.
struct Change<'t> {
    identity: Identity<'t>,
    statement: String,
    deletes: bool,
}

impl Attack<'_, '_> {
    /// Gives an own row away, takes another tenant's, and deletes another tenant's. As an outsider the
    /// statements have no condition at all: then only the policies of the command itself decide, and any row
    /// that is reached is another tenant's.
    pub(super) async fn change(
        &mut self,
        tenants: &Tenants,
        rows: &mut Rows<'_, '_>,
        seen: &mut Observation,
    ) -> Result<(), CheckError> {
        if self.target.update_tenant {
            // Without a condition on a column: a statement that reads must leave a row that the policies for
            // SELECT show.
            let set = format!("{} = {}", self.column(), sql::literal(&tenants.other));
            seen.give = self.give(tenants, &set).await?;
        } else {
            self.give_derived(tenants, rows, seen).await?;
        }
        let first_row_only = self.attempts.first_row_only();
        let changes = match &tenants.outsider {
            Some(outsider) => self.changes(outsider, &first_row_only, rows),
            None if self.target.select_tenant => {
                let of_owner = self.first_of(&tenants.owner);
                self.changes(&tenants.other, &of_owner, rows)
            }
            None => {
                seen.unpaired |=
                    self.target.delete || self.target.update_tenant || !self.target.updates.is_empty();
                Vec::new()
            }
        };
        let granted = self.target.update_tenant || !self.target.updates.is_empty();
        if granted && !seen.unpaired && changes.iter().all(|change| change.deletes) {
            seen.update.push(WriteResult::Impossible);
        }
        let together: Vec<_> =
            changes.iter().map(|change| (change.identity, change.statement.clone())).collect();
        let untouched = self.locked.is_none()
            && !together.is_empty()
            && nothing(self.attempts.make_counted(&together).await?.ok().as_ref());
        for (change, attempt) in changes.into_iter().zip(together) {
            let write_result = if untouched { WriteResult::Touched(0) } else { self.reach(attempt).await? };
            if change.deletes { &mut seen.delete } else { &mut seen.update }.push(write_result);
        }
        Ok(())
    }

    /// The condition that a row is this tenant's and the first. CASE, because AND may read and count first.
    pub(super) fn first_of(&self, tenant: &str) -> String {
        let own = self.target.is_of(self.tenant_column, tenant);
        format!("CASE WHEN {own} THEN {} ELSE false END", self.attempts.first_row_only())
    }

    /// Gives the first own row that it reaches away by this SET.
    pub(super) async fn give(&mut self, tenants: &Tenants, set: &str) -> Result<WriteResult, CheckError> {
        let statement =
            format!("UPDATE {} SET {set} WHERE {}", self.target.qualified(), self.attempts.first_row_only());
        let identity = Identity::app(&tenants.owner);
        let given = self.write(identity, &statement).await?;
        if given == WriteResult::Touched(1) && (self.target.triggers || !self.target.update_tenant) {
            return self.landed(identity, &statement, &tenants.other).await;
        }
        Ok(given)
    }

    /// A change, and what it reached: a trigger may have skipped the row that the policies let through.
    async fn reach(&mut self, attempt: (Identity<'_>, String)) -> Result<WriteResult, CheckError> {
        if let Some(refusal) = &self.locked {
            return Ok(WriteResult::Refused(refusal.clone()));
        }
        Ok(match self.attempts.make_counted(&[attempt]).await? {
            Ok((0, reached)) => match reached.into_iter().max() {
                Some(rows) if rows > 0 => WriteResult::Skipping(rows),
                _ => WriteResult::Touched(0),
            },
            Ok((touched, _)) => WriteResult::Touched(touched),
            Err(refusal) => self.refused(refusal),
        })
    }

    /// UPDATE and DELETE of another tenant's rows, as this tenant, as far as they are granted: of the tenant
    /// column, and of others, because a trigger may keep the tenant as it is and nothing else.
    fn changes<'t>(&self, tenant: &'t str, condition: &str, rows: &mut Rows<'_, '_>) -> Vec<Change<'t>> {
        let (table, identity) = (self.target.qualified(), Identity::app(tenant));
        let take = self.target.update_tenant.then(|| format!("{} = {}", self.column(), sql::literal(tenant)));
        let columns: Vec<_> =
            self.target.updates.iter().filter_map(|number| rows.relation.column(*number)).collect();
        // An identity column, also behind a view, can only be changed to its default.
        let plain = columns.iter().any(|column| !column.serial && !column.generated);
        let touch = columns
            .into_iter()
            .filter(|column| !plain || !(column.serial || column.generated))
            .filter_map(|column| {
                // Nothing is read, so no right to read is needed.
                let value = if column.not_null {
                    value::value(column, 0, &mut rows.seeder.random)?
                } else {
                    "NULL".to_owned()
                };
                Some(format!("{} = {value}", sql::identifier(&column.name)))
            });
        let sets: Vec<_> = take.into_iter().chain(touch.take(COLUMNS)).collect();
        let update = sets.iter().map(|set| Change {
            identity,
            statement: format!("UPDATE {table} SET {set} WHERE {condition}"),
            deletes: false,
        });
        let delete = self.target.delete.then(|| Change {
            identity,
            statement: format!("DELETE FROM {table} WHERE {condition}"),
            deletes: true,
        });
        update.chain(delete).collect()
    }
}

/// Nothing was written, and nothing reached.
fn nothing(counted: Option<&(u64, Vec<u64>)>) -> bool {
    counted.is_some_and(|(touched, reached)| *touched == 0 && reached.iter().all(|rows| *rows == 0))
}
