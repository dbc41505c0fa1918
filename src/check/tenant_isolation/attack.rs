//! What an attacker would try on one table, and what came of it. Judges nothing.

use super::{
    super::{CheckError, sql},
    attempt::{Attempts, FIRST_ROW_ONLY, Guise, Refusal, Row},
    seed::{self, Seeder, Values},
    target::{Relation, Target},
    value::VARIANTS,
};

/// More rows than this are not counted.
pub(super) const MANY: u64 = 1000;

/// SQLSTATE of a lock that was not had in time.
const LOCKED: &str = "55P03";

/// What a query showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Sight {
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
pub(super) enum Deed {
    /// It was not tried, because the application may not, or because there was nobody to try it as.
    #[default]
    Skipped,
    /// So many rows.
    Touched(u64),
    /// An error.
    Refused(Refusal),
}

/// Whose rows are in play.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tenants {
    /// Has at least one row.
    pub(super) owner: String,
    /// Somebody else: with rows, where the table has rows of two.
    pub(super) other: String,
    /// Somebody who has no row anywhere, where the type allows to invent one.
    pub(super) outsider: Option<String>,
    /// The owner's row was made for the attempt.
    pub(super) seeded: bool,
}

impl Tenants {
    /// Who looks for rows of others: two who differ are enough.
    fn viewers(&self) -> [&str; 2] {
        [&self.owner, &self.other]
    }
}

/// Everything that came of the attempts on one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    pub(super) target: Target,
    /// Why nothing was tried, where that is so.
    pub(super) untried: Option<String>,
    /// Why the table stayed empty, where that is so.
    pub(super) unseeded: Option<String>,
    pub(super) seeded: bool,
    /// Without a tenant, before the session ever had one.
    pub(super) unset: Sight,
    /// With an empty tenant, as connections come back from a pool.
    pub(super) empty: Sight,
    /// The owner's own rows.
    pub(super) own: Sight,
    /// Rows of others, as each tenant.
    pub(super) foreign: Vec<Sight>,
    pub(super) insert_own: Deed,
    pub(super) insert_foreign: Deed,
    /// UPDATE that gives an own row to another tenant.
    pub(super) give: Deed,
    /// UPDATE of another tenant's rows.
    pub(super) update: Vec<Deed>,
    /// DELETE of another tenant's rows.
    pub(super) delete: Vec<Deed>,
}

/// The attempts on one table.
pub(super) struct Attack<'a, 'c> {
    pub(super) attempts: &'a mut Attempts<'c>,
    pub(super) target: &'a Target,
    pub(super) tenant_column: &'a str,
    /// The caller's role, as `SHOW role` has it.
    pub(super) caller: &'a str,
    /// Somebody's lock that a write ran into: it is waited for once, and not for each attempt.
    pub(super) locked: Option<Refusal>,
}

impl Attack<'_, '_> {
    fn column(&self) -> String {
        sql::identifier(self.tenant_column)
    }

    async fn write(&mut self, guise: Guise<'_>, statement: &str) -> Result<Deed, CheckError> {
        if let Some(refusal) = &self.locked {
            return Ok(Deed::Refused(refusal.clone()));
        }
        Ok(match self.attempts.make(guise, statement).await? {
            Ok(done) => Deed::Touched(done.touched),
            Err(refusal) => {
                self.locked = Some(refusal.clone()).filter(|refusal| refusal.code == LOCKED);
                Deed::Refused(refusal)
            }
        })
    }

    /// Reads as nobody, as the owner, as the other and as the outsider. In one message first: mostly nothing is refused.
    pub(super) async fn read(&mut self, tenants: &Tenants, seen: &mut Observation) -> Result<(), CheckError> {
        if !self.target.select_any {
            return Ok(());
        }
        let mut looks = vec![(Guise::app(""), self.count("true"))];
        if self.target.select_tenant {
            let own = self.target.is_of(self.tenant_column, &tenants.owner);
            looks.push((Guise::app(&tenants.owner), self.count(&own)));
            // IS DISTINCT FROM would look its operator up by name.
            let others = |tenant| format!("({}) IS NOT TRUE", self.target.is_of(self.tenant_column, tenant));
            looks.extend(tenants.viewers().into_iter().map(|tenant| (Guise::app(tenant), self.count(&others(tenant)))));
        } else if let Some(outsider) = &tenants.outsider {
            looks.push((Guise::app(outsider), self.count("true")));
        }
        let mut sights = look_at(self.attempts, &looks).await?.into_iter();
        seen.empty = sights.next().unwrap_or_default();
        if self.target.select_tenant {
            seen.own = sights.next().unwrap_or_default();
        }
        seen.foreign = sights.collect();
        Ok(())
    }

    fn count(&self, condition: &str) -> String {
        count(self.target, condition)
    }

    /// Writes rows of the owner's and of the other's, as the owner. The policies are asked before constraints are, so a row that is
    /// stopped by a constraint has passed them.
    pub(super) async fn insert(&mut self, tenants: &Tenants, rows: &mut Rows<'_, '_>, seen: &mut Observation) -> Result<(), CheckError> {
        if !self.target.insert_tenant {
            return Ok(());
        }
        let borrowed = self.foreign_keys(tenants, rows.relation).await?;
        let guise = Guise::app(&tenants.owner);
        let mut foreign = None;
        // The first variant that the table's constraints take tells most; the last one that could be made tells enough.
        for variant in 0..VARIANTS {
            let own = rows.insert(self.target, &borrowed, &tenants.owner, variant);
            let Some((own, other)) = own.zip(rows.insert(self.target, &borrowed, &tenants.other, variant)) else { return Ok(()) };
            seen.insert_own = self.write(guise, &own).await?;
            foreign = Some(other);
            if !matches!(&seen.insert_own, Deed::Refused(refusal) if refusal.code == "23514") {
                break;
            }
        }
        let Some(foreign) = foreign else { return Ok(()) };
        seen.insert_foreign = self.write(guise, &foreign).await?;
        if seen.insert_foreign == Deed::Touched(1) && self.target.triggers {
            seen.insert_foreign = self.landed(guise, &foreign, &tenants.other).await?;
        }
        Ok(())
    }

    /// The values of an own row's foreign keys: policies may ask the tables they point to.
    async fn foreign_keys(&mut self, tenants: &Tenants, relation: &Relation) -> Result<Values, CheckError> {
        let keys = relation.foreign_keys.iter().filter(|key| seed::binds(relation, key, &Values::new()));
        let mut columns: Vec<_> = keys.flat_map(|key| &key.columns).filter(|number| **number != self.target.tenant).collect();
        columns.sort_unstable();
        columns.dedup();
        let names: Vec<_> = columns.iter().filter_map(|number| relation.column(**number)).collect();
        if names.is_empty() {
            return Ok(Values::new());
        }
        let texts: Vec<_> = names.iter().map(|column| format!("{}::pg_catalog.text", sql::identifier(&column.name))).collect();
        let own = self.target.is_of(self.tenant_column, &tenants.owner);
        let statement = format!("SELECT {} FROM {} WHERE {own} LIMIT 1", texts.join(", "), self.target.qualified());
        let found = self.attempts.make(Guise::caller(Some(&tenants.owner)), &statement).await?;
        let row = found.ok().and_then(|done| done.row).unwrap_or_default();
        Ok(names.iter().zip(row).filter_map(|(column, value)| value.map(|value| (column.number, value))).collect())
    }

    /// A trigger may have changed the row before the policies saw it: only a new row of that tenant is a leak.
    async fn landed(&mut self, guise: Guise<'_>, statement: &str, tenant: &str) -> Result<Deed, CheckError> {
        let own = self.target.is_of(self.tenant_column, tenant);
        let count = format!("SELECT pg_catalog.count(*)::pg_catalog.text FROM {} WHERE {own}", self.target.qualified());
        let before = self.attempts.make(Guise::caller(Some(tenant)), &count).await?;
        let after = self.attempts.make_and_look(guise, statement, self.caller, (tenant, &count)).await?;
        Ok(match (before, after) {
            (Ok(before), Ok(after)) => Deed::Touched(number(after.row.as_ref()).saturating_sub(number(before.row.as_ref()))),
            (_, Err(refusal)) | (Err(refusal), _) => Deed::Refused(refusal),
        })
    }

    /// Gives an own row away, takes somebody's, and deletes somebody's. As an outsider the statements have no condition at all: then
    /// only the policies of the command itself decide, and any row that is reached is somebody else's.
    pub(super) async fn change(&mut self, tenants: &Tenants, seen: &mut Observation) -> Result<(), CheckError> {
        let (table, column) = (self.target.qualified(), self.column());
        if self.target.update_tenant {
            // Without a condition on a column: a statement that reads must leave a row that the policies for SELECT show.
            let statement = format!("UPDATE {table} SET {column} = {} WHERE {FIRST_ROW_ONLY}", sql::literal(&tenants.other));
            let guise = Guise::app(&tenants.owner);
            seen.give = self.write(guise, &statement).await?;
            if seen.give == Deed::Touched(1) && self.target.triggers {
                seen.give = self.landed(guise, &statement, &tenants.other).await?;
            }
        }
        let of_owner = format!("{} AND {FIRST_ROW_ONLY}", self.target.is_of(self.tenant_column, &tenants.owner));
        let changes = match &tenants.outsider {
            Some(outsider) => self.changes(outsider, FIRST_ROW_ONLY),
            None if self.target.select_tenant => self.changes(&tenants.other, &of_owner),
            None => Vec::new(),
        };
        let together: Vec<_> = changes.iter().map(|change| (change.guise, change.statement.clone())).collect();
        let untouched = self.locked.is_none() && matches!(self.attempts.make_all(&together).await?, Some((_, 0)));
        for change in changes {
            let deed = if untouched { Deed::Touched(0) } else { self.write(change.guise, &change.statement).await? };
            if change.deletes { &mut seen.delete } else { &mut seen.update }.push(deed);
        }
        Ok(())
    }

    /// UPDATE and DELETE of somebody else's rows, as this tenant, as far as they are granted.
    fn changes<'t>(&self, tenant: &'t str, condition: &str) -> Vec<Change<'t>> {
        let (table, guise) = (self.target.qualified(), Guise::app(tenant));
        let take = || format!("{} = {}", self.column(), sql::literal(tenant));
        let set = if self.target.update_tenant { Some(take()) } else { self.touch() };
        let update = set.map(|set| Change { guise, statement: format!("UPDATE {table} SET {set} WHERE {condition}"), deletes: false });
        let delete =
            self.target.delete.then(|| Change { guise, statement: format!("DELETE FROM {table} WHERE {condition}"), deletes: true });
        update.into_iter().chain(delete).collect()
    }

    /// A change that needs no right to read: to the default, which is null in most columns.
    fn touch(&self) -> Option<String> {
        self.target.update_any.as_ref().map(|column| format!("{} = DEFAULT", sql::identifier(column)))
    }
}

/// A statement on somebody else's rows.
struct Change<'t> {
    guise: Guise<'t>,
    statement: String,
    deletes: bool,
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
        let mut relation = self.relation.clone();
        relation.columns.retain(|column| column.app_inserts);
        let (columns, values) = self.seeder.values(&relation, &known, variant).ok()?;
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
                "(SELECT {column}::pg_catalog.text FROM {} WHERE {column} IS NOT NULL ORDER BY {column} {direction} LIMIT 1)",
                target.qualified()
            )
        };
        format!("{}, {}", edge("ASC"), edge("DESC"))
    };
    let all: Vec<_> = targets.iter().map(|target| edges(target)).collect();
    if let Ok(done) = attempts.make(Guise::default(), &format!("SELECT {}", all.join(", "))).await? {
        return Ok(done.row.unwrap_or_default().chunks(2).map(distinct).collect());
    }
    let mut found = Vec::new();
    for target in targets {
        // Without an index both edges may take too long where any row will do.
        let any = format!("SELECT {column}::pg_catalog.text FROM {} WHERE {column} IS NOT NULL LIMIT 1", target.qualified());
        let mut answer = attempts.make(Guise::default(), &format!("SELECT {}", edges(target))).await?;
        if answer.is_err() {
            answer = attempts.make(Guise::default(), &any).await?;
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
pub(super) async fn look_unset(attempts: &mut Attempts<'_>, targets: &[&Target]) -> Result<Vec<Sight>, CheckError> {
    let guise = Guise { app: true, ..Guise::default() };
    let looks: Vec<_> = targets.iter().map(|target| (guise, count(target, "true"))).collect();
    look_at(attempts, &looks).await
}

fn count(target: &Target, condition: &str) -> String {
    format!("SELECT pg_catalog.count(*)::pg_catalog.text FROM (SELECT FROM {} WHERE {condition} LIMIT {MANY}) seen", target.qualified())
}

/// All in one message; if something is refused, one by one.
async fn look_at(attempts: &mut Attempts<'_>, looks: &[(Guise<'_>, String)]) -> Result<Vec<Sight>, CheckError> {
    if let Some((rows, _)) = attempts.make_all(looks).await? {
        return Ok(rows.iter().map(|row| Sight::Rows(number(Some(row)))).collect());
    }
    let mut sights = Vec::new();
    for (guise, statement) in looks {
        sights.push(match attempts.make(*guise, statement).await? {
            Ok(done) => Sight::Rows(number(done.row.as_ref())),
            Err(refusal) => Sight::Refused(refusal),
        });
    }
    Ok(sights)
}

fn number(row: Option<&Row>) -> u64 {
    row.and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0)
}
