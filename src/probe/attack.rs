//! What an attacker would try on one table, and what came of it. Judges nothing.

use super::{
    attempt::{Attempts, Identity, Refusal, Row},
    seed::{self, Seeder, Values},
    target::{Relation, Target},
    value::VARIANTS,
    without_tenant::WithoutTenant,
};
use crate::inspect::{CheckError, sql};

/// More rows than this are not counted.
pub(super) const MANY: u64 = 1000;

/// SQLSTATE of a lock that was not had in time.
const LOCKED: &str = "55P03";

/// What a query showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ReadResult {
    /// It was not tried, because the application may not.
    #[default]
    Skipped,
    /// So many rows.
    Rows(u64),
    /// An error.
    Refused(Refusal),
}

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum WriteResult {
    /// It was not tried, because the application may not, or because there was no tenant to try it as.
    #[default]
    Skipped,
    /// So many rows.
    Touched(u64),
    /// No statement could be made for it.
    Impossible,
    /// None, though the policies let so many through: something else skipped them.
    Skipping(u64),
    /// An error.
    Refused(Refusal),
}

/// Whose rows are in play.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tenants {
    /// Has at least one row.
    pub(super) owner: String,
    /// Another tenant: with rows, where the table has rows of two.
    pub(super) other: String,
    /// A tenant that has no row anywhere, where the type allows to invent one.
    pub(super) outsider: Option<String>,
    /// The owner's row was made for the attempt.
    pub(super) seeded: bool,
    /// The other has rows somewhere, so that nothing refuses it as unknown.
    pub(super) known: bool,
}

impl Tenants {
    /// The tenants that search for rows of others: two that differ are enough.
    fn viewers(&self) -> impl Iterator<Item = &str> {
        let outsider = self.outsider.as_ref().filter(|outsider| **outsider != self.other);
        [&self.owner, &self.other].into_iter().chain(outsider).map(String::as_str)
    }
}

/// Everything that came of the attempts on one table.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and every combination occurs")]
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    pub(super) target: Target,
    /// Why nothing was tried, where that is so.
    pub(super) untried: Option<String>,
    /// The application, where it has locked the table against writing.
    pub(super) held: Option<String>,
    /// It was not tried, because the time of the check was over.
    pub(super) late: bool,
    /// Why the table stayed empty, where that is so.
    pub(super) unseeded: Option<String>,
    pub(super) seeded: bool,
    /// The other tenant of the attempts has rows somewhere.
    pub(super) known: bool,
    /// The application may not read the tenant column, and there was no tenant without rows to read as.
    pub(super) unpaired: bool,
    /// The tenant column is not written, but follows from others.
    pub(super) derived: bool,
    /// A row without a tenant, as a tenant.
    pub(super) without_tenant: WithoutTenant,
    /// Without a tenant, before the session ever had one.
    pub(super) unset: ReadResult,
    /// With an empty tenant, as connections come back from a pool.
    pub(super) empty: ReadResult,
    /// The owner's own rows.
    pub(super) own: ReadResult,
    /// Rows of others, as each tenant.
    pub(super) foreign: Vec<ReadResult>,
    pub(super) insert_own: WriteResult,
    pub(super) insert_foreign: WriteResult,
    /// UPDATE that gives an own row to another tenant.
    pub(super) give: WriteResult,
    /// UPDATE of another tenant's rows.
    pub(super) update: Vec<WriteResult>,
    /// DELETE of another tenant's rows.
    pub(super) delete: Vec<WriteResult>,
}

/// The attempts on one table.
pub(super) struct Attack<'a, 'c> {
    pub(super) attempts: &'a mut Attempts<'c>,
    pub(super) target: &'a Target,
    pub(super) tenant_column: &'a str,
    /// The caller's role, as `SHOW role` has it.
    pub(super) caller: &'a str,
    /// Another session's lock that a write ran into: it is waited for once, and not for each attempt.
    pub(super) locked: Option<Refusal>,
}

impl Attack<'_, '_> {
    pub(super) fn column(&self) -> String {
        sql::identifier(self.tenant_column)
    }

    pub(super) async fn write(
        &mut self,
        identity: Identity<'_>,
        statement: &str,
    ) -> Result<WriteResult, CheckError> {
        if let Some(refusal) = &self.locked {
            return Ok(WriteResult::Refused(refusal.clone()));
        }
        Ok(match self.attempts.make(identity, statement).await? {
            Ok(done) => WriteResult::Touched(done.touched),
            Err(refusal) => self.refused(refusal),
        })
    }

    pub(super) fn refused(&mut self, refusal: Refusal) -> WriteResult {
        self.locked = Some(refusal.clone()).filter(|refusal| refusal.code == LOCKED);
        WriteResult::Refused(refusal)
    }

    /// Reads without a tenant, as the owner, as the other and as the outsider. In one message first: mostly
    /// nothing is refused.
    pub(super) async fn read(&mut self, tenants: &Tenants, seen: &mut Observation) -> Result<(), CheckError> {
        if !self.target.select_any {
            return Ok(());
        }
        let mut queries = vec![(Identity::app(""), self.count("true"))];
        if self.target.select_tenant {
            let own = self.target.is_of(self.tenant_column, &tenants.owner);
            queries.push((Identity::app(&tenants.owner), self.count(&own)));
            // IS DISTINCT FROM would look its operator up by name.
            let others = |tenant| format!("({}) IS NOT TRUE", self.target.is_of(self.tenant_column, tenant));
            queries
                .extend(tenants.viewers().map(|tenant| (Identity::app(tenant), self.count(&others(tenant)))));
        } else if let Some(outsider) = &tenants.outsider {
            queries.push((Identity::app(outsider), self.count("true")));
        } else {
            seen.unpaired = true;
        }
        let mut read_results = look_at(self.attempts, &queries).await?.into_iter();
        seen.empty = read_results.next().unwrap_or_default();
        if self.target.select_tenant {
            seen.own = read_results.next().unwrap_or_default();
        }
        seen.foreign = read_results.collect();
        Ok(())
    }

    pub(super) fn count(&self, condition: &str) -> String {
        count(self.target, condition)
    }

    /// Writes rows of the owner's and of the other's, as the owner. PostgreSQL evaluates policies before
    /// constraints, so a row that is stopped by a constraint has passed them.
    pub(super) async fn insert(
        &mut self,
        tenants: &Tenants,
        rows: &mut Rows<'_, '_>,
        seen: &mut Observation,
    ) -> Result<(), CheckError> {
        if !self.target.insert_tenant {
            return if self.target.insert_any {
                self.insert_derived(tenants, rows, seen).await
            } else {
                Ok(())
            };
        }
        let borrowed = self.foreign_keys(&tenants.owner, rows.relation).await?;
        let identity = Identity::app(&tenants.owner);
        let mut foreign = None;
        // The first variant that the table's constraints take tells most; the last one that could be made
        // tells enough.
        for variant in 0..VARIANTS {
            let own = rows.insert(self.target, &borrowed, &tenants.owner, variant);
            let Some((own, other)) = own.zip(rows.insert(self.target, &borrowed, &tenants.other, variant))
            else {
                break;
            };
            seen.insert_own = self.write(identity, &own).await?;
            foreign = Some(other);
            if !matches!(&seen.insert_own, WriteResult::Refused(refusal) if refusal.code == "23514") {
                break;
            }
        }
        let Some(foreign) = foreign else {
            seen.insert_own = WriteResult::Impossible;
            return Ok(());
        };
        seen.insert_foreign = self.write(identity, &foreign).await?;
        if seen.insert_foreign == WriteResult::Touched(1) && self.target.triggers {
            seen.insert_foreign = self.landed(identity, &foreign, &tenants.other).await?;
        }
        Ok(())
    }

    /// The values of an own row's foreign keys: policies may read the tables they point to.
    pub(super) async fn foreign_keys(
        &mut self,
        tenant: &str,
        relation: &Relation,
    ) -> Result<Values, CheckError> {
        let keys = relation.foreign_keys.iter().filter(|key| seed::binds(relation, key, &Values::new()));
        let mut columns: Vec<_> =
            keys.flat_map(|key| &key.columns).filter(|number| **number != self.target.tenant).collect();
        columns.sort_unstable();
        columns.dedup();
        let names: Vec<_> = columns.iter().filter_map(|number| relation.column(**number)).collect();
        if names.is_empty() {
            return Ok(Values::new());
        }
        let texts: Vec<_> = names
            .iter()
            .map(|column| format!("{}::pg_catalog.text", sql::identifier(&column.name)))
            .collect();
        let own = self.target.is_of(self.tenant_column, tenant);
        let statement =
            format!("SELECT {} FROM {} WHERE {own} LIMIT 1", texts.join(", "), self.target.qualified());
        let found = self.attempts.make(Identity::caller(Some(tenant)), &statement).await?;
        let row = found.ok().and_then(|done| done.row).unwrap_or_default();
        Ok(names
            .iter()
            .zip(row)
            .filter_map(|(column, value)| value.map(|value| (column.number, value)))
            .collect())
    }

    /// A trigger may have changed the row before the policies saw it: only a new row of that tenant is a
    /// leak.
    pub(super) async fn landed(
        &mut self,
        identity: Identity<'_>,
        statement: &str,
        tenant: &str,
    ) -> Result<WriteResult, CheckError> {
        let own = self.target.is_of(self.tenant_column, tenant);
        let count = format!(
            "SELECT pg_catalog.count(*)::pg_catalog.text FROM {} WHERE {own}",
            self.target.qualified()
        );
        let before = self.attempts.make(Identity::caller(Some(tenant)), &count).await?;
        let after = self.attempts.make_and_read(identity, statement, self.caller, (tenant, &count)).await?;
        Ok(match (before, after) {
            (Ok(before), Ok(after)) => {
                WriteResult::Touched(number(after.row.as_ref()).saturating_sub(number(before.row.as_ref())))
            }
            (_, Err(refusal)) | (Err(refusal), _) => WriteResult::Refused(refusal),
        })
    }
}

/// New rows for the attempts to insert.
pub(super) struct Rows<'r, 's> {
    pub(super) relation: &'r Relation,
    pub(super) seeder: &'r mut Seeder<'s>,
}

impl Rows<'_, '_> {
    /// A row of this tenant, of the columns that the application may write.
    fn insert(&mut self, target: &Target, borrowed: &Values, tenant: &str, variant: u32) -> Option<String> {
        let mut known = borrowed.clone();
        known.insert(target.tenant, tenant.to_owned());
        self.insert_of(&known, variant)
    }

    /// A row with these values, of the columns that the application may write.
    pub(super) fn insert_of(&mut self, known: &Values, variant: u32) -> Option<String> {
        let mut relation = self.relation.clone();
        relation.columns.retain(|column| column.app_inserts);
        let (columns, values) = self.seeder.values(&relation, known, variant).ok()?;
        Some(seed::insert(&relation, &columns, &values, &[]))
    }
}

/// Up to two tenants with rows for each table: the lowest and the highest, which an index finds at once.
pub(super) async fn tenants_with_rows(
    attempts: &mut Attempts<'_>,
    targets: &[&Target],
    tenant_column: &str,
) -> Result<Vec<Vec<String>>, CheckError> {
    let column = sql::identifier(tenant_column);
    let edges = |target: &Target| {
        let edge = |direction| {
            format!(
                "(SELECT {column}::pg_catalog.text FROM {} WHERE {column} IS NOT NULL ORDER BY {column} \
                    {direction} LIMIT 1)",
                target.qualified()
            )
        };
        format!("{}, {}", edge("ASC"), edge("DESC"))
    };
    let all: Vec<_> = targets.iter().map(|target| edges(target)).collect();
    if let Ok(done) = attempts.make(Identity::default(), &format!("SELECT {}", all.join(", "))).await? {
        return Ok(done.row.unwrap_or_default().chunks(2).map(distinct).collect());
    }
    let mut found = Vec::new();
    for target in targets {
        // Without an index both edges may take too long where any row will do.
        let any = format!(
            "SELECT {column}::pg_catalog.text FROM {} WHERE {column} IS NOT NULL LIMIT 1",
            target.qualified()
        );
        let mut answer = attempts.make(Identity::default(), &format!("SELECT {}", edges(target))).await?;
        if answer.is_err() {
            answer = attempts.make(Identity::default(), &any).await?;
        }
        let row = answer.ok().and_then(|done| done.row).unwrap_or_default();
        found.push(distinct(&row));
    }
    Ok(found)
}

fn distinct(row: &[Option<String>]) -> Vec<String> {
    let mut tenants: Vec<_> = row.iter().flatten().cloned().collect();
    tenants.dedup();
    tenants
}

/// What the application sees of each table, in a session that never had a tenant.
pub(super) async fn look_unset(
    attempts: &mut Attempts<'_>,
    targets: &[&Target],
) -> Result<Vec<ReadResult>, CheckError> {
    let identity = Identity { app: true, ..Identity::default() };
    let queries: Vec<_> = targets.iter().map(|target| (identity, count(target, "true"))).collect();
    look_at(attempts, &queries).await
}

fn count(target: &Target, condition: &str) -> String {
    format!(
        "SELECT pg_catalog.count(*)::pg_catalog.text FROM (SELECT FROM {} WHERE {condition} LIMIT {MANY}) \
            seen",
        target.qualified()
    )
}

/// All in one message; if something is refused, one by one.
async fn look_at(
    attempts: &mut Attempts<'_>,
    queries: &[(Identity<'_>, String)],
) -> Result<Vec<ReadResult>, CheckError> {
    if let Some((rows, _)) = attempts.make_all(queries).await? {
        return Ok(rows.iter().map(|row| ReadResult::Rows(number(Some(row)))).collect());
    }
    let mut read_results = Vec::new();
    for (identity, statement) in queries {
        read_results.push(match attempts.make(*identity, statement).await? {
            Ok(done) => ReadResult::Rows(number(done.row.as_ref())),
            Err(refusal) => ReadResult::Refused(refusal),
        });
    }
    Ok(read_results)
}

fn number(row: Option<&Row>) -> u64 {
    row.and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0)
}
