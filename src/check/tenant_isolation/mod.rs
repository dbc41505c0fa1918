//! Tenants are isolated, tried as an attacker would: as the application's role, with one tenant set, on the rows of others.
//!
//! The attempts are statements that a leak would let through. Each is made inside a savepoint and undone, and a closed table is not
//! written at all, except for one row of the tenant's own, which proves that a refusal means something.

mod attack;
mod attempt;
mod probe;
mod seed;
mod target;
mod value;
mod verdict;
mod view;

use sqlx::PgConnection;

use self::{
    attempt::{Attempts, Guise},
    probe::Probe,
};
use super::{Asked, Aspect, Check, CheckError, Meta, Scope, asked, sql};
use crate::{
    api::{Finding, RowLevelSecurity, Severity},
    postgres::query_as,
};

const META: Meta = Meta {
    id: "tenant-isolation",
    title: "As the application's role, a tenant reads and writes its own rows and nobody else's",
    condition: "Sluice becomes the application's role, sets one tenant, and tries: to read rows of others; to read without a tenant (the \
                setting never set, and empty); to INSERT a row of another tenant; to give an own row away; to UPDATE and DELETE rows of others. \
                Whatever gets past the policies is found, also when a constraint stops it afterwards. An error counts as closed. A tenant that \
                does not see its own rows is found too: then the policies read something else than the manifest says. Tables without rows get \
                one for the length of the attempt; everything is undone. The same is tried through each view and materialized view of the \
                schemas that shows the tenant column of such a table and that the application may use, unless `except` names it. What could not be \
                tried is a warning that begins with `unproven`: of a view also that it shows no row of a tenant that has some.",
    effect: "What Sluice could do, the application's next injection or forgotten condition can do: one tenant reads or changes another's data.",
    remedy: "Mend the policies that the finding names: compare the tenant column with \
             `NULLIF(current_setting('app.tenant', true), '')` in USING and in WITH CHECK, and look for a second permissive policy that says more. Of a view, set \
             `security_invoker`; a materialized view cannot be guarded, so revoke it from the application.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check =
    Check { meta: &META, asks: asked::with_tenants, look: |connection, scope| Box::pin(look(connection, scope)) };

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
    let mut targets = target::targets(connection, scope, security).await?;
    targets.extend(view::targets(connection, scope, security).await?);
    if targets.is_empty() {
        return Ok(vec![out_of_reach(security)]);
    }
    target::compare_tenants(connection, &mut targets, &security.tenant.column).await?;
    let relations = target::relations(connection, &targets, &security.app_role).await?;
    let mut attempts = Attempts::begin(connection, &security.app_role, &security.tenant.setting).await?;
    attempts.open();
    let became = attempts.make(Guise { app: true, ..Guise::default() }, "SELECT 'yes'").await?;
    attempts.close();
    if became.is_err() {
        return Ok(vec![cannot_become(&roles.login, &security.app_role)]);
    }
    let probe = Probe::new(security, roles, relations);
    let observations = probe.run(&mut attempts, targets).await?;
    Ok(verdict::judge(&observations, &security.tenant.setting))
}

async fn roles(connection: &mut PgConnection, security: &RowLevelSecurity) -> Result<Roles, CheckError> {
    let (caller, login, app_exists, app_bypasses, never_set): (String, String, bool, bool, bool) = query_as(
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
