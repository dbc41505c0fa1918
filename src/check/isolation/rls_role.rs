//! The application's role exists and is bound by row-level security, and so is every role it can become.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsRole,
    title: "The application's role exists and is bound by row-level security",
    condition: "The role of `spec.verify.rowLevelSecurity.appRole` does not exist. Or it, or a role it can \
        `SET ROLE` to, is a superuser, has \
                BYPASSRLS, REPLICATION or CREATEROLE, or is the migration role; or it is, or inherits from, \
                one of the roles pg_execute_server_program, \
                pg_read_server_files, pg_write_server_files, pg_read_all_data and pg_write_all_data, or the \
                owner of a tenant table, forced or not; or it may \
                `ALTER SYSTEM SET` a parameter, or `SET` one that is a superuser's. A warning for CREATEROLE \
                since PostgreSQL 16, where it reaches \
                no role that was not given to it, and for a parameter that loads no code and switches no \
                trigger off.",
    effect: "Row-level security does not hold for superusers, for roles with BYPASSRLS, and for owners of \
        tables that do not force it; an owner \
             may switch it off. Who runs programs or reads files of the server, copies it as a replica or \
             writes to every table takes what he wants \
             beside it. Before PostgreSQL 16, CREATEROLE makes a role member of every other that is no \
             superuser. \
             Everything else that is checked means nothing then.",
    remedy: "Give the application a role of its own: `NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION`, \
        owner of nothing, member of no role that may more.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// The application's role, every role it can become, and every role whose rights it has: an owner's rights
/// are inherited, the attributes of a role are not. Until PostgreSQL 15 every membership allows SET ROLE;
/// since 16 it is an option of its own, and a role with the ADMIN option can give it to itself.
const SQL: &str = tenancy::tenants!(
    ", owned AS (SELECT t.owner, pg_catalog.array_agg(t.schema || '.' || t.name ORDER BY t.schema, t.name) \
        AS tables, \
                 COALESCE(pg_catalog.array_agg(t.schema || '.' || t.name ORDER BY t.schema, t.name) FILTER \
                 (WHERE t.enabled AND NOT t.forced), '{}') AS unforced \
                 FROM tenant_tables t GROUP BY t.owner), \
     version AS (SELECT v.number >= 160000 AS newer, CASE WHEN v.number >= 160000 THEN 'SET, MEMBER WITH \
     ADMIN OPTION' ELSE 'MEMBER' END AS becomes \
       FROM (SELECT pg_catalog.current_setting('server_version_num')::int AS number) v), \
     roles AS (SELECT r.oid, r.rolname::text AS name, pg_catalog.array_remove(ARRAY[CASE WHEN r.rolsuper \
     THEN 'SUPERUSER' END, \
         CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END, CASE WHEN r.rolname IN (SESSION_USER, CURRENT_USER) \
         THEN 'migrates' END, \
         CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolcreaterole THEN CASE WHEN v.newer \
         THEN 'CREATEROLE since 16' ELSE 'CREATEROLE' END END], \
         NULL) AS attributes, r.rolname IN ('pg_execute_server_program', 'pg_read_server_files', \
         'pg_write_server_files', 'pg_read_all_data', 'pg_write_all_data') AS predefined \
       FROM version v, pg_catalog.pg_roles r) \
     SELECT r.name, r.oid = a.oid AS own, pg_catalog.pg_has_role(a.oid, r.oid, v.becomes) AS becomes, \
     pg_catalog.pg_has_role(a.oid, r.oid, 'USAGE') AS inherits, \
            r.attributes, r.predefined, COALESCE(o.tables, '{}') AS owned, COALESCE(o.unforced, \
            '{}') AS unforced \
     FROM app a CROSS JOIN version v CROSS JOIN roles r LEFT JOIN owned o ON o.owner = r.oid \
     WHERE r.oid = a.oid OR (NOT a.rolsuper AND (r.attributes <> '{}' OR r.predefined OR o.owner IS NOT \
     NULL) \
       AND (pg_catalog.pg_has_role(a.oid, r.oid, v.becomes) OR pg_catalog.pg_has_role(a.oid, r.oid, \
       'USAGE'))) \
     ORDER BY r.oid <> a.oid, r.name"
);

/// Parameters that the application may set although they are for superusers.
const PARAMETERS: &str = tenancy::tenants!(
    "SELECT p.parname, pg_catalog.bool_or(pg_catalog.has_parameter_privilege(r.oid, p.parname, 'ALTER \
        SYSTEM')) \
     FROM app a JOIN pg_catalog.pg_roles r ON r.oid = a.oid OR pg_catalog.pg_has_role(a.oid, r.oid, \
     'MEMBER'), \
       pg_catalog.pg_parameter_acl p LEFT JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = \
       p.parname \
     WHERE NOT a.rolsuper AND NOT r.rolsuper AND (pg_catalog.has_parameter_privilege(r.oid, p.parname, \
     'ALTER SYSTEM') \
       OR (s.context LIKE 'superuser%' AND pg_catalog.has_parameter_privilege(r.oid, p.parname, 'SET'))) \
     GROUP BY 1 ORDER BY 1"
);

/// Parameters by which a session loads code, or by which triggers and foreign keys do not fire.
const TAKES_OVER: [&str; 4] = [
    "dynamic_library_path",
    "local_preload_libraries",
    "session_preload_libraries",
    "session_replication_role",
];

#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the catalog, and every combination occurs"
)]
#[derive(FromRow)]
struct Role {
    name: String,
    /// It is the application's role itself.
    own: bool,
    /// The application can SET ROLE to it.
    becomes: bool,
    /// The application has its rights without SET ROLE.
    inherits: bool,
    /// What it is besides: attributes of the role, and that it is the one that migrates.
    attributes: Vec<String>,
    /// It is one of PostgreSQL's own roles that go past every policy.
    predefined: bool,
    /// Tenant tables of its own.
    owned: Vec<String>,
    /// Those among them that do not force row-level security.
    unforced: Vec<String>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let roles: Vec<Role> =
        tenancy::rows(SQL, scope, security).fetch_all(&mut *connection).await.context("read the roles")?;
    let mut found = judge(&roles, &security.app_role);
    let rows: Vec<(String, bool)> = tenancy::rows(PARAMETERS, scope, security)
        .fetch_all(connection)
        .await
        .context("read which parameters of superusers the application may set")?;
    found.extend(rows.into_iter().map(|(name, system)| parameter(&name, system, &security.app_role)));
    Ok(found)
}

fn judge(roles: &[Role], app: &str) -> Vec<Finding> {
    if !roles.iter().any(|role| role.own) {
        let message = format!("the role {app:?} does not exist, so nothing can be said about what it sees");
        return vec![META.finding(
            app,
            message,
            format!("create it (CREATE ROLE {}), or correct appRole", sql::identifier(app)),
        )];
    }
    roles.iter().flat_map(|role| objections(role, app)).collect()
}

/// An attribute counts when the application is the role or can become it; what it may and owns also when its
/// rights are inherited.
fn objections(role: &Role, app: &str) -> Vec<Finding> {
    let attributes = role.attributes.iter().filter(|_| role.own || role.becomes);
    let mut found: Vec<_> = attributes.map(|attribute| besides(role, attribute, app)).collect();
    if role.attributes.iter().any(|attribute| attribute == "SUPERUSER") {
        found.truncate(1);
        return found;
    }
    if role.own || role.becomes || role.inherits {
        found.extend(role.predefined.then(|| member(role, app)));
        found.extend(owner(role, app));
    }
    found
}

/// What the role is besides. PURE.
fn besides(role: &Role, attribute: &str, app: &str) -> Finding {
    let name = sql::identifier(&role.name);
    let (what, which) = match attribute {
        "SUPERUSER" => ("is a superuser", "so no policy binds it"),
        "BYPASSRLS" => ("has BYPASSRLS", "so no policy binds it"),
        "migrates" => ("is the migration role", "which can switch every policy off"),
        "REPLICATION" => ("has REPLICATION", "so it reads every row out of the log of changes"),
        "CREATEROLE" => ("has CREATEROLE", "so it can become every role that is no superuser"),
        _ => ("has CREATEROLE", "so it can become every role that it administers"),
    };
    let attribute = attribute.split(' ').next().unwrap_or_default();
    let finding = match (role.own, attribute) {
        (true, "migrates") => META.finding(
            app,
            format!("the role {app:?} {what}, {which}"),
            "give the application a role of its own",
        ),
        (true, _) => META.finding(
            app,
            format!("the role {app:?} {what}, {which}"),
            format!("ALTER ROLE {name} NO{attribute}"),
        ),
        (false, _) => {
            let message = format!("{app:?} can SET ROLE to {:?}, which {what}", role.name);
            META.finding(app, message, format!("REVOKE {name} FROM {}", sql::identifier(app)))
        }
    };
    let lesser =
        role.attributes.iter().any(|known| known == "CREATEROLE since 16") && attribute == "CREATEROLE";
    if lesser { Finding { severity: Severity::Warning, ..finding } } else { finding }
}

fn member(role: &Role, app: &str) -> Finding {
    let what = match role.name.as_str() {
        "pg_execute_server_program" => "runs programs on the server, which read every file of it",
        "pg_read_server_files" => "reads the files of the server, the tables among them",
        "pg_write_server_files" => "writes the files of the server, its configuration among them",
        "pg_read_all_data" => "reads every table and view, whatever is revoked from it",
        _ => "writes to every table and view, the history of migrations among them",
    };
    let message = format!("{app:?} is a member of {}: it {what}", role.name);
    META.finding(
        app,
        message,
        format!("REVOKE {} FROM {}", sql::identifier(&role.name), sql::identifier(app)),
    )
}

fn owner(role: &Role, app: &str) -> Option<Finding> {
    let name = sql::identifier(&role.name);
    let bound = role.unforced.is_empty();
    let tables = sql::few(if bound { &role.owned } else { &role.unforced }, 4);
    if role.owned.is_empty() {
        return None;
    }
    let (why, force) = if bound {
        ("whose row-level security an owner can switch off", "")
    } else {
        (
            "where row-level security is not forced: no policy binds an owner there",
            "FORCE ROW LEVEL SECURITY on them, and ",
        )
    };
    Some(if role.own {
        META.finding(
            app,
            format!("{app:?} owns {tables}, {why}"),
            format!("{force}let another role own them (ALTER TABLE … OWNER TO)"),
        )
    } else {
        let how = if role.inherits { "has the rights of" } else { "can SET ROLE to" };
        let message = format!("{app:?} {how} {:?}, the owner of {tables}, {why}", role.name);
        META.finding(app, message, format!("{force}REVOKE {name} FROM {}", sql::identifier(app)))
    })
}

fn parameter(name: &str, system: bool, app: &str) -> Finding {
    let (way, privilege) = if system { ("ALTER SYSTEM SET", "ALTER SYSTEM, SET") } else { ("SET", "SET") };
    let message = format!("{app:?} may {way} the parameter {name}, which is for superusers");
    let remedy = format!(
        "REVOKE {privilege} ON PARAMETER {name} FROM {}, or from the role through which it has it",
        sql::identifier(app)
    );
    let finding = META.finding(app, message, remedy);
    if system || TAKES_OVER.contains(&name) {
        finding
    } else {
        Finding { severity: Severity::Warning, ..finding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> Role {
        let (attributes, owned, unforced) = (Vec::new(), Vec::new(), Vec::new());
        Role {
            name: "app".to_owned(),
            own: true,
            becomes: true,
            inherits: true,
            attributes,
            predefined: false,
            owned,
            unforced,
        }
    }

    fn other(name: &str) -> Role {
        Role { name: name.to_owned(), own: false, becomes: false, inherits: false, ..app() }
    }

    fn with(attributes: &[&str], role: Role) -> Role {
        Role { attributes: attributes.iter().map(ToString::to_string).collect(), ..role }
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
    fn a_superuser_is_told_once_and_each_other_attribute_by_itself() {
        let found = messages(&[with(&["SUPERUSER", "BYPASSRLS"], app())]);
        assert!(found.len() == 1 && found[0].contains("superuser"), "{found:?}");
        let found = judge(&[with(&["BYPASSRLS", "REPLICATION", "CREATEROLE"], app())], "app");
        let cures: Vec<_> = found.iter().map(|finding| finding.remedy.as_str()).collect();
        assert_eq!(
            cures,
            [
                "ALTER ROLE \"app\" NOBYPASSRLS",
                "ALTER ROLE \"app\" NOREPLICATION",
                "ALTER ROLE \"app\" NOCREATEROLE"
            ]
        );
        assert!(found.iter().all(|finding| finding.severity == Severity::Error), "{found:?}");
    }

    #[test]
    fn creating_roles_reaches_everybody_only_before_postgresql_16() {
        let found = judge(&[with(&["CREATEROLE since 16"], app())], "app");
        assert_eq!(
            (found[0].severity, found[0].remedy.as_str()),
            (Severity::Warning, "ALTER ROLE \"app\" NOCREATEROLE")
        );
    }

    #[test]
    fn attributes_of_another_role_count_only_when_the_application_can_become_it() {
        let dba = |becomes| with(&["BYPASSRLS"], Role { inherits: true, becomes, ..other("dba") });
        assert_eq!(messages(&[app(), dba(false)]), [""; 0]);
        assert!(messages(&[app(), dba(true)])[0].contains("SET ROLE to \"dba\""));
    }

    #[test]
    fn the_rights_of_an_owner_count_when_they_are_inherited_and_also_where_it_is_forced() {
        let tables = vec!["s.t".to_owned()];
        let owns = |forced: bool, role| Role {
            owned: tables.clone(),
            unforced: if forced { Vec::new() } else { tables.clone() },
            ..role
        };
        assert!(
            messages(&[owns(false, app())])[0].contains("owns s.t, where row-level security is not forced")
        );
        assert!(messages(&[owns(true, app())])[0].contains("owns s.t, whose row-level security"));
        let migrator = || Role { inherits: true, ..other("migrator") };
        assert!(messages(&[app(), owns(false, migrator())])[0].contains("has the rights of \"migrator\""));
        assert_eq!(messages(&[app(), owns(false, other("migrator"))]), [""; 0]);
    }

    #[test]
    fn a_parameter_that_loads_code_or_that_every_session_starts_with_is_an_error() {
        let severity = |name, system| parameter(name, system, "app").severity;
        assert_eq!(severity("session_replication_role", false), Severity::Error);
        assert_eq!(severity("work_mem", true), Severity::Error);
        assert_eq!(severity("log_statement", false), Severity::Warning);
    }
}
