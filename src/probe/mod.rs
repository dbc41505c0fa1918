//! Tenants are isolated, tried as an attacker would: as the application's role, with one tenant set, on the
//! rows of others.
//!
//! The attempts are statements that a leak would let through. Each is made inside a savepoint and undone, and
//! a closed table is not written at all, except for one row of the tenant's own, which proves that a refusal
//! means something.

mod apart;
mod attack;
mod attempt;
mod change;
mod code;
mod derive;
mod lock;
mod login;
mod meaning;
mod seed;
mod sequence;
mod target;
mod unproven;
mod value;
mod verdict;
mod view;
mod without_tenant;

use std::time::Instant;

use sqlx::PgConnection;

use self::{
    attempt::{Attempts, Identity},
    sequence::Probe,
};
use crate::{
    api::{CheckId, Finding, RowLevelSecurity, Severity},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, trial},
    postgres::query_as,
};

pub(crate) const META: Meta = Meta {
    id: CheckId::TenantIsolation,
    title: "As the application's role, a tenant reads and writes its own rows and no other tenant's",
    condition: "On every tenant table and partition that the application may use, whether row-level security \
        is on or not, Sluice becomes the \
                application's role, sets one tenant, and tries: to read rows of others; to read without a \
                tenant (the \
                setting never set, and empty); to INSERT a row of another tenant; to give an own row away; \
                to UPDATE and DELETE rows of others. \
                Whatever gets past the policies is found, also when a constraint stops it afterwards. An \
                error counts as closed. A tenant that \
                does not see its own rows is found too: then the policies read something else than the \
                manifest says. Tables without rows get \
                one for the length of the attempt; everything is undone. The same is tried through each view \
                and materialized view of the \
                schemas that shows the tenant column of such a table and that the application may use, \
                unless `except` names it. Every role that the application can SET ROLE to is tried \
                like it, all within 30 s. The settings that ALTER ROLE and ALTER DATABASE give to the \
                application's login are put on first. What could not be \
                tried, or was refused or skipped by a trigger so that it proves nothing of the policies, is \
                a warning that begins with `unproven`: of a view also \
                that it shows no row of a tenant that has some. It is an error where the application holds \
                the lock that blocks it. Rows without a tenant that every \
                tenant sees or can make, where the tenant column may be null, are a warning. Nothing is \
                tried on a table that brings along (by a trigger, default, policy, constraint, index, rule, \
                view, type, operator or foreign key) a \
                function that neither the migration role nor a superuser nor a role of `trustedOwners` owns, \
                or a relation or type of the application's: an attempt would run it \
                in the session of the migration role. That is an error about what belongs to another role. \
                Where what it brings along looks names up when it runs, \
                anything of the application's counts, except in a schema of `applicationSchemas` that no \
                search path and no function names.",
    effect: "What Sluice could do, the application's next injection or forgotten condition can do: one \
        tenant reads or changes another's data.",
    remedy: "Mend the policies that the finding names: compare the tenant column with \
             `NULLIF(current_setting('app.tenant', true), '')` in USING and in WITH CHECK, and look for a \
             second permissive policy that says more. Of a view, set \
             `security_invoker`; a materialized view cannot be guarded, so revoke it from the application.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

/// The session's role and the application's, as they bear on the attempts.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and every combination occurs")]
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
    /// It is one that the application can become.
    other: bool,
}

/// Tries what an attacker would, and judges what came of it.
pub(crate) async fn inspect(
    connection: &mut PgConnection,
    scope: &Scope,
) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let roles = roles(connection, security).await?;
    if !roles.app_exists || roles.app_bypasses {
        return Ok(vec![nothing_binds(security, roles.app_exists)]);
    }
    trial::begin(connection).await?;
    let mut found: Vec<_> = login::put_on(connection, &security.app_role).await?.into_iter().collect();
    found.extend(as_each(connection, scope, security, roles).await?);
    trial::end(connection).await?;
    Ok(found)
}

/// As the application, and as each role that it can become, within one time.
async fn as_each(
    connection: &mut PgConnection,
    scope: &Scope,
    security: &RowLevelSecurity,
    roles: Roles,
) -> Result<Vec<Finding>, CheckError> {
    let mut late = Late { until: Instant::now() + sequence::BUDGET, tables: Vec::new(), roles: Vec::new() };
    let own = apart(connection, scope, security, roles, &mut late).await?;
    let mut found = own.unwrap_or_else(|| vec![out_of_reach(security)]);
    for name in becomes(connection, security).await? {
        if Instant::now() >= late.until {
            late.roles.push(name);
            continue;
        }
        let other = RowLevelSecurity { app_role: name, ..security.clone() };
        let roles = Roles { other: true, ..self::roles(connection, &other).await? };
        let more = apart(connection, scope, &other, roles, &mut late).await?.unwrap_or_default();
        // What is said of the application itself is not said again of a role that it can become.
        let new: Vec<_> = more.into_iter().filter(|finding| !found.contains(finding)).collect();
        found.extend(new.into_iter().map(|finding| after_set_role(finding, &other.app_role)));
    }
    found.extend(late.finding(security));
    Ok(found)
}

/// What there was no time for.
struct Late {
    until: Instant,
    /// Tables that were not begun with, as some role.
    tables: Vec<String>,
    /// Roles that were not begun with.
    roles: Vec<String>,
}

impl Late {
    fn finding(mut self, security: &RowLevelSecurity) -> Option<Finding> {
        if self.tables.is_empty() && self.roles.is_empty() {
            return None;
        }
        let (times, roles) = (self.tables.len(), self.roles.len());
        self.tables.sort_unstable();
        self.tables.dedup();
        let mut untried = Vec::new();
        if times > 0 {
            untried
                .push(format!("{} were left out ({times} times, over all roles)", sql::few(&self.tables, 4)));
        }
        if roles > 0 {
            untried.push(format!(
                "no attempt ran as {} that the application can become",
                sql::few(&self.roles, 4)
            ));
        }
        let message = format!(
            "{}there was no time left after {} s: {}",
            Finding::UNPROVEN,
            sequence::BUDGET.as_secs(),
            untried.join("; ")
        );
        let remedy = "find out which policy or trigger is slow; fewer roles of the application, and an index \
            that begins with the tenant column, help";
        Some(Finding { severity: Severity::Warning, ..META.finding(&security.app_role, message, remedy) })
    }
}

/// As one role, and nothing of it is left for the next: no lock, no setting.
async fn apart(
    connection: &mut PgConnection,
    scope: &Scope,
    security: &RowLevelSecurity,
    roles: Roles,
    late: &mut Late,
) -> Result<Option<Vec<Finding>>, CheckError> {
    trial::begin(connection).await?;
    let found = attacks(connection, scope, security, roles, late).await?;
    trial::end(connection).await?;
    Ok(found)
}

/// As one role, everything that it reaches; nothing where that is nothing.
async fn attacks(
    connection: &mut PgConnection,
    scope: &Scope,
    security: &RowLevelSecurity,
    roles: Roles,
    late: &mut Late,
) -> Result<Option<Vec<Finding>>, CheckError> {
    let mut targets = target::targets(connection, scope, security).await?;
    targets.extend(view::targets(connection, scope, security).await?);
    if targets.is_empty() {
        return Ok(None);
    }
    let (mut targets, mut found) = code::admit(connection, targets, security).await?;
    if targets.is_empty() {
        return Ok(Some(found));
    }
    target::compare_tenants(connection, &mut targets, &security.tenant.column).await?;
    let relations = target::relations(connection, &targets, &security.app_role).await?;
    let mut attempts =
        Attempts::begin(connection, &security.app_role, &security.tenant.setting, late.until).await?;
    attempts.open();
    let became = attempts.make(Identity { app: true, ..Identity::default() }, "SELECT 'yes'").await?;
    attempts.close();
    if became.is_err_and(|refusal| !refusal.is_late()) {
        found.push(cannot_become(&roles.login, &security.app_role));
        return Ok(Some(found));
    }
    let other = roles.other;
    let probe = Probe::new(security, roles, relations, late.until);
    let observations = probe.run(&mut attempts, targets).await?;
    late.tables.extend(observations.iter().filter(|seen| seen.late).map(|seen| seen.target.display()));
    found.extend(verdict::judge(&observations, &security.tenant.setting, other));
    Ok(Some(found))
}

/// Roles that the application can SET ROLE to, also where it has their rights without: a policy may read
/// `current_user`. Those that nothing binds are told by `rls-role`.
async fn becomes(
    connection: &mut PgConnection,
    security: &RowLevelSecurity,
) -> Result<Vec<String>, CheckError> {
    let rows: Vec<(String,)> = query_as(
        "SELECT r.rolname::text FROM pg_catalog.pg_roles a, pg_catalog.pg_roles r, \
           (SELECT CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE \
           'MEMBER' END AS becomes) v \
         WHERE a.rolname = $1 AND r.oid <> a.oid AND NOT r.rolsuper AND NOT r.rolbypassrls \
           AND pg_catalog.pg_has_role(a.oid, r.oid, v.becomes) ORDER BY 1",
    )
    .bind(&security.app_role)
    .fetch_all(connection)
    .await
    .context("read which roles the application can become")?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

async fn roles(connection: &mut PgConnection, security: &RowLevelSecurity) -> Result<Roles, CheckError> {
    let (caller, login, app_exists, app_bypasses, never_set): (String, String, bool, bool, bool) = query_as(
        "SELECT pg_catalog.current_setting('role'), session_user::text, r.oid IS NOT NULL, \
            COALESCE(r.rolsuper OR r.rolbypassrls, false), \
                pg_catalog.current_setting($2, true) IS NULL \
         FROM (SELECT) one LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $1",
    )
    .bind(&security.app_role)
    .bind(&security.tenant.setting)
    .fetch_one(connection)
    .await
    .context("read the roles of the isolation probe")?;
    Ok(Roles { caller, login, app_exists, app_bypasses, never_set, other: false })
}

fn after_set_role(finding: Finding, role: &str) -> Finding {
    let (unproven, said) = match finding.message.strip_prefix(Finding::UNPROVEN) {
        Some(said) => (Finding::UNPROVEN, said),
        None => ("", finding.message.as_str()),
    };
    Finding { message: format!("{unproven}after SET ROLE {}: {said}", sql::identifier(role)), ..finding }
}

/// `rls-role` says what to do about it; the silence here must not be taken for a pass.
fn nothing_binds(security: &RowLevelSecurity, exists: bool) -> Finding {
    let why = if exists { "no policy binds it" } else { "it does not exist" };
    let message = format!("nothing was tried as {:?}, because {why}", security.app_role);
    META.finding(&security.app_role, message, "see the finding of rls-role about it")
}

fn cannot_become(login: &str, app: &str) -> Finding {
    let message = format!(
        "the migration role {login:?} may not SET ROLE to {app:?}, so nothing can be tried as the application"
    );
    META.finding(app, message, format!("GRANT {} TO {}", sql::identifier(app), sql::identifier(login)))
}

fn out_of_reach(security: &RowLevelSecurity) -> Finding {
    let message = format!(
        "unproven: {:?} may not use any table that has the column {:?}, so there was nothing to try",
        security.app_role, security.tenant.column
    );
    let remedy = "grant the application what it needs (GRANT USAGE ON SCHEMA, GRANT SELECT … ON TABLE), or \
        correct appRole";
    Finding { severity: Severity::Warning, ..META.finding(&security.app_role, message, remedy) }
}
