//! Tenants are isolated, tried as an attacker would: as the application's role, with one tenant set, on the rows of others.
//!
//! The attempts are statements that a leak would let through. Each is made inside a savepoint and undone, and a closed table is not
//! written at all, except for one row of the tenant's own, which proves that a refusal means something.

mod attack;
mod attempt;
mod seed;
mod target;
mod value;
mod verdict;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fastrand::Rng;
use sqlx::PgConnection;

use self::{
    attack::{Attack, Observation, Rows, Tenants},
    attempt::{Attempts, Guise},
    seed::{Seeder, Values},
    target::{Relation, Target},
};
use super::{Asked, Aspect, Check, CheckError, Meta, Scope, sql};
use crate::api::{Finding, RowLevelSecurity, Severity};

const META: Meta = Meta {
    id: "tenant-isolation",
    title: "As the application's role, a tenant reads and writes its own rows and nobody else's",
    condition: "Sluice becomes the application's role, sets one tenant, and tries: to read rows of others; to read without a tenant (the \
                setting never set, and empty); to INSERT a row of another tenant; to give an own row away; to UPDATE and DELETE rows of others. \
                Whatever gets past the policies is found, also when a constraint stops it afterwards. An error counts as closed. A tenant that \
                does not see its own rows is found too: then the policies read something else than the manifest says. Tables without rows get \
                one for the length of the attempt; everything is undone. What could not be tried is a warning that begins with `unproven`.",
    effect: "What Sluice could do, the application's next injection or forgotten condition can do: one tenant reads or changes another's data.",
    remedy: "Mend the policies that the finding names: compare the tenant column with \
             `NULLIF(current_setting('app.tenant', true), '')` in USING and in WITH CHECK, and look for a second permissive policy that says more.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check { meta: &META, look: |connection, scope| Box::pin(look(connection, scope)) };

/// The migrate stage may hold locks while this runs: after so long, the remaining tables are unproven.
const BUDGET: Duration = Duration::from_secs(30);

/// The session's role and the application's, as they bear on the attempts.
struct Roles {
    /// As `SHOW role` has it.
    caller: String,
    /// Who may SET ROLE is decided by the role that logged in.
    login: String,
    app_exists: bool,
    /// Nothing binds it, which `rls-role` says.
    app_bypasses: bool,
    /// The setting has never had a value in this session.
    never_set: bool,
}

async fn look(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let roles = roles(connection, security).await?;
    if !roles.app_exists || roles.app_bypasses {
        return Ok(Vec::new());
    }
    let targets = target::targets(connection, scope, security).await?;
    if targets.is_empty() {
        return Ok(vec![out_of_reach(security)]);
    }
    let relations = target::relations(connection, &targets, &security.app_role).await?;
    let mut attempts = Attempts::begin(connection, &security.app_role, &security.tenant.setting).await?;
    attempts.open().await?;
    let became = attempts.make(Guise { app: true, ..Guise::default() }, "SELECT 'yes'").await?;
    attempts.close().await?;
    if became.is_err() {
        return Ok(vec![cannot_become(&roles.login, &security.app_role)]);
    }
    let probe = Probe { security, roles, relations, seeder_seed: fastrand::u64(..), until: Instant::now() + BUDGET };
    let observations = probe.run(&mut attempts, targets).await?;
    Ok(verdict::judge(&observations, &security.tenant.setting))
}

async fn roles(connection: &mut PgConnection, security: &RowLevelSecurity) -> Result<Roles, CheckError> {
    let (caller, login, app_exists, app_bypasses, never_set): (String, String, bool, bool, bool) = sqlx::query_as(
        "SELECT pg_catalog.current_setting('role'), session_user::text, r.oid IS NOT NULL, COALESCE(r.rolsuper OR r.rolbypassrls, false), \
                pg_catalog.current_setting($2, true) IS NULL \
         FROM (SELECT) one LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $1",
    )
    .bind(&security.app_role)
    .bind(&security.tenant.setting)
    .fetch_one(connection)
    .await
    .asked("read the roles of the isolation probe")?;
    Ok(Roles { caller, login, app_exists, app_bypasses, never_set })
}

fn cannot_become(login: &str, app: &str) -> Finding {
    let message = format!("the migration role {login:?} may not SET ROLE to {app:?}, so nothing can be tried as the application");
    META.finding(app, message, format!("GRANT {} TO {}", sql::identifier(app), sql::identifier(login)))
}

fn out_of_reach(security: &RowLevelSecurity) -> Finding {
    let message = format!(
        "unproven: {:?} may not use any table that has the column {:?} and row-level security, so there was nothing to try",
        security.app_role, security.tenant.column
    );
    let remedy = "grant the application what it needs (GRANT USAGE ON SCHEMA, GRANT SELECT … ON TABLE), or correct appRole";
    Finding { severity: Severity::Warning, ..META.finding(&security.app_role, message, remedy) }
}

/// One run over all tables.
struct Probe<'a> {
    security: &'a RowLevelSecurity,
    roles: Roles,
    relations: BTreeMap<i64, Relation>,
    seeder_seed: u64,
    until: Instant,
}

impl Probe<'_> {
    /// First every table without a tenant: once the session has set one, the setting is empty for ever and no longer unset.
    async fn run(&self, attempts: &mut Attempts<'_>, targets: Vec<Target>) -> Result<Vec<Observation>, CheckError> {
        let mut observations: Vec<_> = targets.into_iter().map(|target| Observation { target, ..Observation::default() }).collect();
        let mut strangers = Vec::new();
        let mut random = Rng::with_seed(self.seeder_seed);
        for seen in &mut observations {
            attempts.open().await?;
            strangers.push(self.strangers(attempts, &seen.target, &mut random).await?);
            if self.roles.never_set && Instant::now() < self.until {
                let stranger = strangers.last().and_then(Option::as_ref);
                self.populate(attempts, &seen.target, stranger, None).await?;
                seen.unset = self.attack(attempts, &seen.target).look_unset().await?;
            }
            attempts.close().await?;
        }
        for (seen, strangers) in observations.iter_mut().zip(strangers) {
            if Instant::now() >= self.until {
                seen.untried = Some(format!("there was no time left after {} s", BUDGET.as_secs()));
                continue;
            }
            attempts.open().await?;
            self.try_table(attempts, seen, strangers).await?;
            attempts.close().await?;
        }
        Ok(observations)
    }

    fn attack<'t, 'c>(&'t self, attempts: &'t mut Attempts<'c>, target: &'t Target) -> Attack<'t, 'c> {
        Attack { attempts, target, tenant_column: &self.security.tenant.column, caller: &self.roles.caller, locked: None }
    }

    fn seeder(&self, salt: i64) -> Seeder<'_> {
        let random = Rng::with_seed(self.seeder_seed ^ salt.unsigned_abs().rotate_left(32));
        Seeder { relations: &self.relations, tenant_column: &self.security.tenant.column, random }
    }

    /// Two tenants that nobody is, if the type of the tenant column takes them.
    async fn strangers(
        &self,
        attempts: &mut Attempts<'_>,
        target: &Target,
        random: &mut Rng,
    ) -> Result<Option<(String, String)>, CheckError> {
        let column = self.relations.get(&target.oid).and_then(|relation| relation.column(target.tenant));
        let Some((first, second)) = column.and_then(|column| value::strangers(column, random)) else { return Ok(None) };
        let casts = [&first, &second].map(|text| format!("{}::{}::text", sql::literal(text), target.tenant_type));
        let taken = attempts.make(Guise::default(), &format!("SELECT {}", casts.join(", "))).await?;
        Ok(taken.is_ok().then_some((first, second)))
    }

    /// The tenants of a table that has rows, or else of one that was given a row; and why that could not be done.
    async fn populate(
        &self,
        attempts: &mut Attempts<'_>,
        target: &Target,
        strangers: Option<&(String, String)>,
        tenant: Option<&str>,
    ) -> Result<(Option<Tenants>, Option<String>), CheckError> {
        let outsider = strangers.map(|(_, second)| second.clone());
        let mut real = self.attack(attempts, target).tenants_with_rows().await?.into_iter();
        match (real.next(), real.next(), strangers) {
            (Some(owner), Some(other), _) => Ok((Some(Tenants { owner, other, other_is_real: true, outsider, seeded: false }), None)),
            (Some(owner), None, Some((_, other))) => {
                Ok((Some(Tenants { owner, other: other.clone(), other_is_real: false, outsider, seeded: false }), None))
            }
            (None, _, Some((owner, other))) => {
                let fixed = Values::from([(target.tenant, owner.clone())]);
                let made = self.seeder(target.oid).row(attempts, target.oid, fixed, tenant).await?;
                let tenants = Tenants { owner: owner.clone(), other: other.clone(), other_is_real: false, outsider, seeded: made.is_ok() };
                Ok((Some(tenants), made.err()))
            }
            (_, _, None) => Ok((None, Some(format!("no second tenant can be invented for a column of the type {}", target.tenant_type)))),
        }
    }

    async fn try_table(
        &self,
        attempts: &mut Attempts<'_>,
        seen: &mut Observation,
        strangers: Option<(String, String)>,
    ) -> Result<(), CheckError> {
        let target = seen.target.clone();
        let own = strangers.as_ref().map(|(first, _)| first.as_str());
        let (tenants, reason) = self.populate(attempts, &target, strangers.as_ref(), own).await?;
        let Some(tenants) = tenants else {
            seen.untried = reason;
            return Ok(());
        };
        seen.unseeded = reason;
        seen.seeded = tenants.seeded;
        let mut attack = self.attack(attempts, &target);
        attack.read(&tenants, seen).await?;
        if let Some(relation) = self.relations.get(&target.oid) {
            let mut seeder = self.seeder(target.oid + 1);
            attack.insert(&tenants, &mut Rows { relation, seeder: &mut seeder }, seen).await?;
        }
        attack.change(&tenants, seen).await
    }
}
