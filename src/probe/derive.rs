//! Where the application does not write the tenant column: it is generated, a trigger sets it, or its default
//! does. Then a row belongs to whom the other columns say, and those are what an attacker writes.

use super::{
    attack::{Attack, Observation, Rows, Tenants, WriteResult},
    attempt::Identity,
    seed::Values,
};
use crate::inspect::{CheckError, sql};

/// So many columns are tried one by one.
const COLUMNS: usize = 6;

impl Attack<'_, '_> {
    /// INSERT with each column that may decide whose the row is, as the owner: for the owner, which proves
    /// that it decides, and for the other.
    pub(super) async fn insert_derived(
        &mut self,
        tenants: &Tenants,
        rows: &mut Rows<'_, '_>,
        seen: &mut Observation,
    ) -> Result<(), CheckError> {
        seen.derived = true;
        let identity = Identity::app(&tenants.owner);
        let own = self.foreign_keys(&tenants.owner, rows.relation).await?;
        let other = self.foreign_keys(&tenants.other, rows.relation).await?;
        let mut pairs = vec![(own.clone(), own.clone())];
        if !other.is_empty() {
            pairs.push((own.clone(), other));
        }
        for columns in self.deciding(rows, |_, app_inserts| app_inserts) {
            pairs.push((with(&own, &columns, &tenants.owner), with(&own, &columns, &tenants.other)));
        }
        let mut told = (WriteResult::Impossible, WriteResult::Skipped);
        for (own, other) in pairs {
            let Some((own, other)) = rows.insert_of(&own, 0).zip(rows.insert_of(&other, 0)) else { continue };
            let mine = self.lands(identity, &own, &tenants.owner).await?;
            let theirs = self.lands(identity, &other, &tenants.other).await?;
            let leaks = matches!(theirs, WriteResult::Touched(rows) if rows > 0);
            let proves = matches!(mine, WriteResult::Touched(rows) if rows > 0);
            // What is refused where even an own row is, or where nothing differs, says nothing.
            if leaks || proves {
                told = (
                    mine,
                    if leaks || own != other || told.1 == WriteResult::Skipped { theirs } else { told.1 },
                );
            } else if told.0 == WriteResult::Impossible {
                told.0 = mine;
            }
            if leaks {
                break;
            }
        }
        (seen.insert_own, seen.insert_foreign) = told;
        Ok(())
    }

    /// UPDATE of an own row by each column that may decide whose it is.
    pub(super) async fn give_derived(
        &mut self,
        tenants: &Tenants,
        rows: &mut Rows<'_, '_>,
        seen: &mut Observation,
    ) -> Result<(), CheckError> {
        let updates = self.target.updates.clone();
        let mut changes: Vec<Values> = self
            .deciding(rows, |number, _| updates.contains(&number))
            .iter()
            .map(|columns| with(&Values::new(), columns, &tenants.other))
            .collect();
        if self.target.triggers {
            let mut parents = self.foreign_keys(&tenants.other, rows.relation).await?;
            parents.retain(|number, _| updates.contains(number));
            changes.extend(Some(parents).filter(|parents| !parents.is_empty()));
        }
        for values in changes {
            let set: Vec<_> = values
                .iter()
                .filter_map(|(number, value)| {
                    Some(format!(
                        "{} = {}",
                        sql::identifier(&rows.relation.column(*number)?.name),
                        sql::literal(value)
                    ))
                })
                .collect();
            let given = self.give(tenants, &set.join(", ")).await?;
            let leaks = matches!(given, WriteResult::Touched(rows) if rows > 0);
            if leaks || seen.give == WriteResult::Skipped || matches!(given, WriteResult::Refused(_)) {
                seen.give = given;
            }
            if leaks {
                break;
            }
        }
        Ok(())
    }

    /// The columns from which the tenant may follow, one by one and then all: those that it is generated
    /// from, or where a trigger sets it, those of the same kind.
    fn deciding(&self, rows: &Rows<'_, '_>, may: impl Fn(i16, bool) -> bool) -> Vec<Vec<i16>> {
        let generated = !self.target.sources.is_empty();
        if !generated && !self.target.triggers {
            return Vec::new();
        }
        let kind = rows.relation.column(self.target.tenant).map(|column| column.category.as_str());
        let fits = |column: &&super::target::Column| {
            column.number != self.target.tenant
                && !column.generated
                && !column.serial
                && may(column.number, column.app_inserts)
                && if generated {
                    self.target.sources.contains(&column.number)
                } else {
                    Some(column.category.as_str()) == kind
                }
        };
        let numbers: Vec<_> =
            rows.relation.columns.iter().filter(fits).map(|column| column.number).take(COLUMNS).collect();
        let all = (numbers.len() > 1).then(|| numbers.clone());
        numbers.iter().map(|number| vec![*number]).chain(all).collect()
    }

    async fn lands(
        &mut self,
        identity: Identity<'_>,
        statement: &str,
        tenant: &str,
    ) -> Result<WriteResult, CheckError> {
        match self.write(identity, statement).await? {
            WriteResult::Touched(1) => self.landed(identity, statement, tenant).await,
            write_result => Ok(write_result),
        }
    }
}

fn with(values: &Values, columns: &[i16], tenant: &str) -> Values {
    let mut values = values.clone();
    values.extend(columns.iter().map(|number| (*number, tenant.to_owned())));
    values
}
