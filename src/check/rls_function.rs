//! Functions do not lend the application an owner's eyes.

use sqlx::PgConnection;

use super::{Asked, Aspect, Check, CheckError, Meta, Scope, asked, sql, tenancy};
use crate::api::{Finding, Severity};

const META: Meta = Meta {
    id: "rls-function",
    title: "No SECURITY DEFINER function takes the application past its policies",
    condition: "A function or procedure, in whatever schema but PostgreSQL's own and those of extensions, is SECURITY DEFINER; its owner is a \
                superuser, has BYPASSRLS, or owns a tenant table whose row-level security is not forced; and the application's role may \
                execute it. PostgreSQL grants EXECUTE to PUBLIC when a function is made. Functions of triggers cannot be called and are not asked.",
    effect: "The function reads and writes with its owner's rights, whom no policy binds. Whether it shows another tenant's rows depends on its \
             text, which a machine cannot judge. Without a `search_path` of its own it can also be made to call somebody else's code.",
    remedy: "Make it SECURITY INVOKER, or `REVOKE EXECUTE ON FUNCTION … FROM PUBLIC` and from the application, or give it to a role that the \
             policies bind. If it must stay: compare the tenant in it, and `ALTER FUNCTION … SET search_path = ''`.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check =
    Check { meta: &META, asks: asked::with_tenants, look: |connection, scope| Box::pin(look(connection, scope)) };

const SQL: &str = tenancy::tenants!(
    "SELECT n.nspname::text, p.proname::text, pg_catalog.pg_get_function_identity_arguments(p.oid), o.rolname::text, \
            o.rolsuper OR o.rolbypassrls, \
            NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) s(setting) WHERE s.setting LIKE 'search_path=%') \
     FROM app a, pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_roles o ON o.oid = p.proowner \
     WHERE p.prosecdef AND p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype AND NOT a.rolsuper \
       AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
       AND (o.rolsuper OR o.rolbypassrls OR EXISTS (SELECT FROM tenant_tables t \
         WHERE t.enabled AND NOT t.forced AND pg_catalog.pg_has_role(o.oid, t.owner, 'USAGE'))) \
       AND pg_catalog.has_function_privilege(a.oid, p.oid, 'EXECUTE') AND pg_catalog.has_schema_privilege(a.oid, n.oid, 'USAGE') \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e') \
     ORDER BY 1, 2, 3"
);

/// Schema, name, arguments, owner, whether nothing binds the owner, whether it has no search path of its own.
type Row = (String, String, String, String, bool, bool);

async fn look(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let rows: Vec<Row> = tenancy::rows(SQL, scope, security).fetch_all(connection).await.asked("read the SECURITY DEFINER functions")?;
    Ok(rows.into_iter().map(|row| judge(row, &security.app_role)).collect())
}

fn judge((schema, name, arguments, owner, unbound, open_path): Row, role: &str) -> Finding {
    let why = if unbound { "whom no policy binds" } else { "who owns tenant tables that are not forced" };
    let path = if open_path { ", and it has no search_path of its own" } else { "" };
    let message = format!("{role:?} may execute it with the rights of its owner {owner:?}, {why}{path}");
    let function = format!("{}({arguments})", sql::qualified(&schema, &name));
    let remedy = format!(
        "ALTER FUNCTION {function} SECURITY INVOKER, or REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC, {}",
        sql::identifier(role)
    );
    META.finding(format!("{schema}.{name}({arguments})"), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_whose_rights_and_what_else_is_open() {
        let row = |unbound, path| ("s".to_owned(), "f".to_owned(), "id uuid".to_owned(), "admin".to_owned(), unbound, path);
        let found = judge(row(true, true), "app");
        assert_eq!(found.object, "s.f(id uuid)");
        assert!(found.message.contains("whom no policy binds, and it has no search_path of its own"), "{}", found.message);
        assert!(judge(row(false, false), "app").message.ends_with("who owns tenant tables that are not forced"));
        assert!(found.remedy.contains("\"s\".\"f\"(id uuid) FROM PUBLIC, \"app\""), "{}", found.remedy);
    }
}
