//! The order of attempts over all tables: first who has rows, then everything without a tenant, then table by
//! table.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{
    Roles,
    attack::{self, Attack, Observation, ReadResult, Rows, Tenants},
    attempt::{Attempts, Identity},
    lock,
    seed::{Seeder, Values},
    target::{Relation, Target},
    value,
};
use crate::{
    api::RowLevelSecurity,
    inspect::{CheckError, sql},
    postgres::SEARCH_PATH,
};

/// The migrate stage may hold locks while this runs: after so long, for all roles together, what is left is
/// unproven.
pub(super) const BUDGET: Duration = Duration::from_secs(30);
/// So many tenants of other tables are kept in mind.
const LENT: usize = 4;
/// Tables that are read in one statement, where one answer for all of them is likely.
const TOGETHER: usize = 50;

/// One run over all tables.
pub(super) struct Probe<'a> {
    security: &'a RowLevelSecurity,
    roles: Roles,
    relations: BTreeMap<i64, Relation>,
    seed: u64,
    until: Instant,
}

/// A table, and who could be tried on it.
struct Subject {
    seen: Observation,
    /// Up to two tenants that have rows.
    real: Vec<String>,
    /// Two tenants that do not exist.
    strangers: Option<(String, String)>,
    /// Tenants that there are elsewhere, and, of a type that has few values, could be.
    lent: Vec<String>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(
        security: &'a RowLevelSecurity,
        roles: Roles,
        relations: BTreeMap<i64, Relation>,
        until: Instant,
    ) -> Self {
        Self { security, roles, relations, seed: fastrand::u64(..), until }
    }

    /// Everything without a tenant comes first: once the session has set one, the setting is empty for ever
    /// and no longer unset.
    pub(super) async fn run(
        &self,
        attempts: &mut Attempts<'_>,
        targets: Vec<Target>,
    ) -> Result<Vec<Observation>, CheckError> {
        let mut subjects = self.subjects(attempts, targets).await?;
        if self.roles.never_set {
            let (populated, empty): (Vec<_>, Vec<_>) =
                subjects.iter_mut().partition(|subject| !subject.real.is_empty());
            self.look_unset(attempts, populated).await?;
            for subject in empty {
                self.look_unset_at_a_row(attempts, subject).await?;
            }
        }
        for subject in &mut subjects {
            if Instant::now() >= self.until {
                subject.seen.late = true;
                continue;
            }
            attempts.open();
            self.try_table(attempts, subject).await?;
            attempts.close();
        }
        Ok(subjects.into_iter().map(|subject| subject.seen).collect())
    }

    fn attack<'t, 'c>(&'t self, attempts: &'t mut Attempts<'c>, target: &'t Target) -> Attack<'t, 'c> {
        Attack {
            attempts,
            target,
            tenant_column: &self.security.tenant.column,
            caller: &self.roles.caller,
            locked: None,
        }
    }

    fn seeder(&self, salt: i64) -> Seeder<'_> {
        let random = Rng::with_seed(self.seed ^ salt.unsigned_abs().rotate_left(32));
        Seeder { relations: &self.relations, tenant_column: &self.security.tenant.column, random }
    }

    async fn subjects(
        &self,
        attempts: &mut Attempts<'_>,
        targets: Vec<Target>,
    ) -> Result<Vec<Subject>, CheckError> {
        let mut subjects = Vec::new();
        let mut strangers: BTreeMap<String, Option<(String, String)>> = BTreeMap::new();
        attempts.open();
        for target in targets {
            if !strangers.contains_key(&target.tenant_type) {
                let found = self.strangers(attempts, &target).await?;
                strangers.insert(target.tenant_type.clone(), found);
            }
            let strangers = strangers.get(&target.tenant_type).cloned().flatten();
            subjects.push(Subject {
                seen: Observation { target, ..Observation::default() },
                real: Vec::new(),
                strangers,
                lent: Vec::new(),
            });
        }
        // Views apart: one that cannot be read at all would have every table read on its own.
        let views = subjects.partition_point(|subject| subject.seen.target.view.is_none());
        let (tables, views) = subjects.split_at_mut(views);
        for chunk in tables.chunks_mut(TOGETHER).chain(views.chunks_mut(TOGETHER)) {
            let targets: Vec<_> = chunk.iter().map(|subject| &subject.seen.target).collect();
            let found = attack::tenants_with_rows(attempts, &targets, &self.security.tenant.column).await?;
            for (subject, real) in chunk.iter_mut().zip(found) {
                subject.real = real;
            }
        }
        attempts.close();
        lend_tenants(tables, views);
        self.lend(&mut subjects);
        Ok(subjects)
    }

    /// Two tenants that do not exist, if the type of the tenant column takes them.
    async fn strangers(
        &self,
        attempts: &mut Attempts<'_>,
        target: &Target,
    ) -> Result<Option<(String, String)>, CheckError> {
        let column = self.relations.get(&target.oid).and_then(|relation| relation.column(target.tenant));
        let mut random = Rng::with_seed(self.seed);
        let Some((first, second)) = column.and_then(|column| value::strangers(column, &mut random)) else {
            return Ok(None);
        };
        let casts = [&first, &second]
            .map(|text| format!("{}::{}::pg_catalog.text", sql::literal(text), target.tenant_type));
        // The type's name was printed under Sluice's search path, and is read under it.
        let statement = format!("SET LOCAL search_path = {SEARCH_PATH}; SELECT {}", casts.join(", "));
        let taken = attempts.make(Identity::default(), &statement).await?;
        Ok(taken.is_ok().then_some((first, second)))
    }

    /// What the application sees in a session that never had a tenant, of tables that have rows.
    async fn look_unset(
        &self,
        attempts: &mut Attempts<'_>,
        subjects: Vec<&mut Subject>,
    ) -> Result<(), CheckError> {
        let mut subjects: Vec<_> =
            subjects.into_iter().filter(|subject| subject.seen.target.select_any).collect();
        for chunk in subjects.chunks_mut(TOGETHER) {
            if Instant::now() >= self.until {
                break;
            }
            attempts.open();
            let targets: Vec<_> = chunk.iter().map(|subject| &subject.seen.target).collect();
            let read_results = attack::look_unset(attempts, &targets).await?;
            for (subject, read_result) in chunk.iter_mut().zip(read_results) {
                subject.seen.unset = read_result;
            }
            attempts.close();
        }
        Ok(())
    }

    /// The same of a table that has to be given a row first.
    async fn look_unset_at_a_row(
        &self,
        attempts: &mut Attempts<'_>,
        subject: &mut Subject,
    ) -> Result<(), CheckError> {
        if !subject.seen.target.select_any || Instant::now() >= self.until {
            return Ok(());
        }
        attempts.open();
        self.populate(attempts, subject, false).await?;
        let read_results = attack::look_unset(attempts, &[&subject.seen.target]).await?;
        subject.seen.unset = read_results.into_iter().next().unwrap_or(ReadResult::Skipped);
        attempts.close();
        Ok(())
    }

    /// The tenants of a table that has rows, or else of one that was given a row; and why that could not be
    /// done. `set` is whether the session may set a tenant.
    async fn populate(
        &self,
        attempts: &mut Attempts<'_>,
        subject: &Subject,
        set: bool,
    ) -> Result<(Option<Tenants>, Option<String>), CheckError> {
        let target = &subject.seen.target;
        let Some((owner, other)) = subject.pair() else {
            return Ok((
                None,
                Some(format!(
                    "no second tenant can be invented for a column of the type {}",
                    target.tenant_type
                )),
            ));
        };
        let known =
            subject.real.contains(&other) || (subject.strangers.is_some() && subject.lent.contains(&other));
        let seeded = subject.real.is_empty();
        let mut reason = None;
        if seeded {
            reason = self.make_row(attempts, target, &owner, set.then_some(owner.as_str())).await?.err();
        }
        let outsider = match &subject.strangers {
            Some((_, second)) => Some(second.clone()),
            None => self.outsider(attempts, subject, &owner).await?,
        };
        Ok((Some(Tenants { owner, other, outsider, seeded: seeded && reason.is_none(), known }), reason))
    }

    /// Of a type for which no tenant can be invented: a tenant that has no row in this table.
    async fn outsider(
        &self,
        attempts: &mut Attempts<'_>,
        subject: &Subject,
        owner: &str,
    ) -> Result<Option<String>, CheckError> {
        let target = &subject.seen.target;
        for tenant in subject.lent.iter().filter(|tenant| *tenant != owner && !subject.real.contains(tenant))
        {
            let own = target.is_of(&self.security.tenant.column, tenant);
            let any = format!("SELECT 'yes' FROM {} WHERE {own} LIMIT 1", target.qualified());
            if attempts.make(Identity::caller(Some(tenant)), &any).await?.is_ok_and(|done| done.row.is_none())
            {
                return Ok(Some(tenant.clone()));
            }
        }
        Ok(None)
    }

    /// To each table the tenants of other tables whose tenant column has the same type, and those that the
    /// type allows.
    fn lend(&self, subjects: &mut [Subject]) {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for subject in subjects.iter() {
            let known = all.entry(subject.seen.target.tenant_type.clone()).or_default();
            for tenant in &subject.real {
                if known.len() < LENT && !known.contains(tenant) {
                    known.push(tenant.clone());
                }
            }
        }
        for subject in subjects {
            let target = &subject.seen.target;
            let column = self.relations.get(&target.oid).and_then(|relation| relation.column(target.tenant));
            let possible = column.map(value::labels).unwrap_or_default();
            subject.lent = all.get(&target.tenant_type).cloned().unwrap_or_default();
            for tenant in possible {
                if !subject.lent.contains(&tenant) {
                    subject.lent.push(tenant);
                }
            }
        }
    }

    /// A row of this tenant in a table, or in each table that a view reads.
    async fn make_row(
        &self,
        attempts: &mut Attempts<'_>,
        target: &Target,
        owner: &str,
        tenant: Option<&str>,
    ) -> Result<Result<(), String>, CheckError> {
        let sources = match &target.view {
            None => vec![(target.oid, target.tenant)],
            Some(view) if view.stored => return Ok(Err("it was filled from empty tables".to_owned())),
            Some(view) => view.sources.clone(),
        };
        for (table, column) in sources {
            // A row of another table may have brought its own parents.
            if target.view.is_some() && self.has_row(attempts, table, owner, tenant).await? {
                continue;
            }
            let fixed = Values::from([(column, owner.to_owned())]);
            if let Err(reason) = self.seeder(table).row(attempts, table, fixed, tenant).await? {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(()))
    }

    async fn has_row(
        &self,
        attempts: &mut Attempts<'_>,
        table: i64,
        owner: &str,
        tenant: Option<&str>,
    ) -> Result<bool, CheckError> {
        let Some(relation) = self.relations.get(&table) else { return Ok(false) };
        let own = format!(
            "{} OPERATOR(pg_catalog.=) {}",
            sql::identifier(&self.security.tenant.column),
            sql::literal(owner)
        );
        let found = attempts
            .make(
                Identity::caller(tenant),
                &format!("SELECT 'yes' FROM {} WHERE {own} LIMIT 1", relation.qualified),
            )
            .await?;
        Ok(found.is_ok_and(|done| done.row.is_some()))
    }

    async fn try_table(&self, attempts: &mut Attempts<'_>, subject: &mut Subject) -> Result<(), CheckError> {
        let (tenants, reason) = self.populate(attempts, subject, true).await?;
        let seen = &mut subject.seen;
        let Some(tenants) = tenants else {
            seen.untried = reason;
            return Ok(());
        };
        seen.unseeded = reason;
        (seen.seeded, seen.known) = (tenants.seeded, tenants.known);
        let target = seen.target.clone();
        let mut attack = self.attack(attempts, &target);
        attack.read(&tenants, seen).await?;
        let Some(relation) = self.relations.get(&target.oid) else {
            seen.untried = Some("its columns could not be read".to_owned());
            return Ok(());
        };
        let mut seeder = self.seeder(target.oid + 1);
        let mut rows = Rows { relation, seeder: &mut seeder };
        attack.insert(&tenants, &mut rows, seen).await?;
        attack.change(&tenants, &mut rows, seen).await?;
        attack.without_tenant(&tenants, &rows, seen).await?;
        if attack.locked.is_some() {
            seen.held = lock::holder(attempts, &target, &self.security.app_role).await?;
        }
        Ok(())
    }
}

impl Subject {
    /// The owner and the other: tenants with rows, then, where a trigger may check whether there is such a
    /// tenant, those of other tables, and then invented ones.
    fn pair(&self) -> Option<(String, String)> {
        let lend = self.seen.target.reacts || self.strangers.is_none();
        let lent = self.lent.iter().filter(|_| lend);
        let mut tenants: Vec<&String> = self.real.iter().collect();
        for tenant in lent {
            if !tenants.contains(&tenant) {
                tenants.push(tenant);
            }
        }
        match (tenants.as_slice(), &self.strangers) {
            ([owner, other, ..], _) => Some(((*owner).clone(), (*other).clone())),
            ([owner], Some((_, other))) => Some(((*owner).clone(), other.clone())),
            ([], Some((owner, other))) => Some((owner.clone(), other.clone())),
            (_, None) => None,
        }
    }
}

/// A view may show its rows only to their tenants: whose they are is known from the tables that it reads.
fn lend_tenants(tables: &[Subject], views: &mut [Subject]) {
    for subject in views {
        let Some(view) = &subject.seen.target.view else { continue };
        let reads = |table: &&Subject| view.sources.iter().any(|(oid, _)| *oid == table.seen.target.oid);
        for tenant in tables.iter().filter(reads).flat_map(|table| &table.real) {
            if subject.real.len() < 2 && !subject.real.contains(tenant) {
                subject.real.push(tenant.clone());
            }
        }
    }
}
