//! The application's role exists and is bound by row-level security, and so is every role it can become.

use sqlx::PgConnection;

use super::{Asked, Aspect, Check, CheckError, Meta, Scope, asked, sql, tenancy};
use crate::api::{Finding, Severity};

const META: Meta = Meta {
    id: "rls-role",
    title: "The application's role exists and is bound by row-level security",
    condition: "The role of `spec.verify.rowLevelSecurity.appRole` does not exist, or it, or a role it can `SET ROLE` to, is a superuser, has \
                BYPASSRLS, or owns (by itself or through a role whose rights it inherits) a tenant table whose row-level security is not forced.",
    effect: "Row-level security does not hold for superusers, for roles with BYPASSRLS, and for owners of tables that do not force it. \
             Everything else that is checked means nothing then.",
    remedy: "Give the application a role of its own: `NOSUPERUSER NOBYPASSRLS`, owner of nothing, member of no role that may more.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check =
    Check { meta: &META, asks: asked::with_tenants, look: |connection, scope| Box::pin(look(connection, scope)) };

/// The application's role, every role it can become, and every role whose rights it has: an owner's rights are inherited, the
/// attributes of a role are not. Until PostgreSQL 15 every membership allows SET ROLE; since 16 it is an option of its own.
const SQL: &str = tenancy::tenants!(
    ", owned AS (SELECT t.owner, pg_catalog.array_agg(t.schema || '.' || t.name ORDER BY t.schema, t.name) AS tables \
                 FROM tenant_tables t WHERE t.enabled AND NOT t.forced GROUP BY t.owner), \
     version AS (SELECT CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END AS becomes) \
     SELECT r.rolname::text, r.oid = a.oid, r.rolsuper, r.rolbypassrls, \
            pg_catalog.pg_has_role(a.oid, r.oid, v.becomes), pg_catalog.pg_has_role(a.oid, r.oid, 'USAGE'), COALESCE(o.tables, '{}') \
     FROM app a CROSS JOIN version v CROSS JOIN pg_catalog.pg_roles r LEFT JOIN owned o ON o.owner = r.oid \
     WHERE r.oid = a.oid OR (NOT a.rolsuper AND (r.rolsuper OR r.rolbypassrls OR o.owner IS NOT NULL) \
       AND (pg_catalog.pg_has_role(a.oid, r.oid, v.becomes) OR pg_catalog.pg_has_role(a.oid, r.oid, 'USAGE'))) \
     ORDER BY r.oid <> a.oid, r.rolname"
);

type Row = (String, bool, bool, bool, bool, bool, Vec<String>);

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of the catalog, and every combination occurs")]
struct Role {
    name: String,
    /// It is the application's role itself.
    own: bool,
    superuser: bool,
    bypasses: bool,
    /// The application can SET ROLE to it.
    becomes: bool,
    /// The application has its rights without SET ROLE.
    inherits: bool,
    /// Tenant tables of its own that do not force row-level security.
    unforced: Vec<String>,
}

async fn look(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let rows: Vec<Row> = tenancy::rows(SQL, scope, security).fetch_all(connection).await.asked("read the roles")?;
    let roles: Vec<_> = rows
        .into_iter()
        .map(|(name, own, superuser, bypasses, becomes, inherits, unforced)| Role {
            name,
            own,
            superuser,
            bypasses,
            becomes,
            inherits,
            unforced,
        })
        .collect();
    Ok(judge(&roles, &security.app_role))
}

fn judge(roles: &[Role], app: &str) -> Vec<Finding> {
    if !roles.iter().any(|role| role.own) {
        let message = format!("the role {app:?} does not exist, so nothing can be said about what it sees");
        return vec![META.finding(app, message, format!("create it (CREATE ROLE {}), or correct appRole", sql::identifier(app)))];
    }
    roles.iter().filter_map(|role| objection(role, app)).collect()
}

fn objection(role: &Role, app: &str) -> Option<Finding> {
    let name = sql::identifier(&role.name);
    // An attribute counts when the application is the role or can become it; ownership also when its rights are inherited.
    let attribute = if role.superuser { Some(("is a superuser", "NOSUPERUSER")) } else { None };
    let attribute = attribute.or(role.bypasses.then_some(("has BYPASSRLS", "NOBYPASSRLS"))).filter(|_| role.own || role.becomes);
    if let Some((what, cure)) = attribute {
        return Some(if role.own {
            let message = format!("the role {app:?} {what}, so no policy binds it");
            META.finding(app, message, format!("ALTER ROLE {name} {cure}"))
        } else {
            let message = format!("{app:?} can SET ROLE to {:?}, which {what}", role.name);
            META.finding(app, message, format!("REVOKE {name} FROM {}", sql::identifier(app)))
        });
    }
    if role.unforced.is_empty() || !(role.own || role.becomes || role.inherits) {
        return None;
    }
    let tables = sql::few(&role.unforced, 4);
    Some(if role.own {
        let message = format!("{app:?} owns {tables}, where row-level security is not forced: no policy binds it there");
        META.finding(app, message, "FORCE ROW LEVEL SECURITY on them, and let another role own them")
    } else {
        let how = if role.inherits { "has the rights of" } else { "can SET ROLE to" };
        let message = format!("{app:?} {how} {:?}, the owner of {tables}, where row-level security is not forced", role.name);
        META.finding(app, message, format!("FORCE ROW LEVEL SECURITY on them, and REVOKE {name} FROM {}", sql::identifier(app)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> Role {
        let name = "app".to_owned();
        Role { name, own: true, superuser: false, bypasses: false, becomes: true, inherits: true, unforced: Vec::new() }
    }

    fn other(name: &str) -> Role {
        Role { name: name.to_owned(), own: false, becomes: false, inherits: false, ..app() }
    }

    fn messages(roles: &[Role]) -> Vec<String> {
        judge(roles, "app").into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_role_of_its_own_is_fine() {
        assert_eq!(messages(&[app()]), [""; 0]);
    }

    #[test]
    fn a_missing_role_is_an_error_and_no_pass() {
        assert!(messages(&[])[0].contains("does not exist"));
    }

    #[test]
    fn superusers_and_bypassrls_are_named() {
        assert!(messages(&[Role { superuser: true, bypasses: true, ..app() }])[0].contains("superuser"));
        assert!(messages(&[Role { bypasses: true, ..app() }])[0].contains("BYPASSRLS"));
    }

    #[test]
    fn attributes_of_another_role_count_only_when_the_application_can_become_it() {
        assert_eq!(messages(&[app(), Role { bypasses: true, inherits: true, ..other("dba") }]), [""; 0]);
        assert!(messages(&[app(), Role { bypasses: true, becomes: true, ..other("dba") }])[0].contains("SET ROLE to \"dba\""));
    }

    #[test]
    fn the_rights_of_an_owner_count_when_they_are_inherited() {
        let unforced = vec!["s.t".to_owned()];
        assert!(messages(&[Role { unforced: unforced.clone(), ..app() }])[0].contains("owns s.t"));
        let owner = Role { inherits: true, unforced: unforced.clone(), ..other("migrator") };
        assert!(messages(&[app(), owner])[0].contains("has the rights of \"migrator\""));
        assert_eq!(messages(&[app(), Role { unforced, ..other("migrator") }]), [""; 0]);
    }
}
