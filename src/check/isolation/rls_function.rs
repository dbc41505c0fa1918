//! Functions do not lend the application an owner's eyes.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsFunction,
    title: "No SECURITY DEFINER function takes the application past its policies",
    condition: "A function or procedure, in whatever schema but PostgreSQL's own and those of extensions, is \
        SECURITY DEFINER; its owner is a \
                superuser, has BYPASSRLS, owns a tenant table whose row-level security is not forced, or is \
                let through by policies that are not \
                those of the application; and the application's role may \
                execute it. PostgreSQL grants EXECUTE to PUBLIC when a function is made. A function of a \
                trigger cannot be called: it counts where the \
                application may write to the trigger's table, itself or through a view or the table that it \
                is a part of.",
    effect: "The function reads and writes with its owner's rights, whom no policy binds. Whether it shows \
        another tenant's rows depends on its \
             text, which a machine cannot judge. Without a `search_path` of its own it can also be made to \
             call another role's code.",
    remedy: "Make it SECURITY INVOKER, or `REVOKE EXECUTE ON FUNCTION … FROM PUBLIC` and from the \
        application, or give it to a role that the \
             policies bind. If it must stay: compare the tenant in it, and `ALTER FUNCTION … SET search_path \
             = ''`.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    tenancy::policies!(),
    tenancy::doors!(),
    ", definers AS (SELECT p.oid, n.oid AS namespace, n.nspname::text AS schema, p.proname::text AS name, \
        p.proconfig AS config, p.proowner AS owner, \
         p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype AS is_fired \
       FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
       WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS (SELECT \
       FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = \
         'e')), \
     seen AS (SELECT b.oid AS owner, pg_catalog.max(",
    tenancy::sees_more!(),
    ") AS more FROM app a, pg_catalog.pg_roles b, tenant_tables t \
       WHERE t.enabled AND b.oid IN (SELECT owner FROM definers) GROUP BY b.oid) \
     SELECT f.schema, f.name, pg_catalog.pg_get_function_identity_arguments(f.oid) AS arguments, \
     o.rolname::text AS owner, \
            CASE WHEN o.rolsuper OR o.rolbypassrls THEN 'whom no policy binds' \
              WHEN s.more = 2 THEN 'whom the policies of some tenant table do not bind' ELSE 'whom other \
              policies bind than the application' END AS why, \
            NOT EXISTS (SELECT FROM pg_catalog.unnest(f.config) s(setting) WHERE s.setting LIKE \
            'search_path=%') AS open_path, fired.tables AS fired \
     FROM app a, definers f JOIN pg_catalog.pg_roles o ON o.oid = f.owner LEFT JOIN seen s ON s.owner = \
     o.oid, \
     LATERAL (SELECT ARRAY(SELECT DISTINCT cn.nspname || '.' || c.relname FROM pg_catalog.pg_trigger g \
         JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = \
         c.relnamespace \
         JOIN doors ON doors.relation = c.oid JOIN pg_catalog.pg_class w ON w.oid = doors.door JOIN \
         pg_catalog.pg_namespace n ON n.oid = w.relnamespace \
         WHERE f.is_fired AND g.tgfoid = f.oid AND g.tgenabled <> 'D' AND \
         pg_catalog.has_schema_privilege(a.oid, n.oid, 'USAGE') \
           AND ((g.tgtype & 4 <> 0 AND pg_catalog.has_any_column_privilege(a.oid, w.oid, 'INSERT')) \
             OR (g.tgtype & 8 <> 0 AND pg_catalog.has_table_privilege(a.oid, w.oid, 'DELETE')) \
             OR (g.tgtype & 16 <> 0 AND pg_catalog.has_any_column_privilege(a.oid, w.oid, 'UPDATE')) \
             OR (g.tgtype & 32 <> 0 AND pg_catalog.has_table_privilege(a.oid, w.oid, 'TRUNCATE'))) ORDER BY \
             1)) AS fired(tables) \
     WHERE NOT a.rolsuper AND (o.rolsuper OR o.rolbypassrls OR s.more > 0) AND CASE WHEN f.is_fired THEN \
     pg_catalog.cardinality(fired.tables) > 0 \
       ELSE pg_catalog.has_function_privilege(a.oid, f.oid, 'EXECUTE') AND \
       pg_catalog.has_schema_privilege(a.oid, f.namespace, 'USAGE') END \
     ORDER BY 1, 2, 3"
);

#[derive(FromRow)]
struct Function {
    schema: String,
    name: String,
    arguments: String,
    owner: String,
    /// What binds the owner, or does not.
    why: String,
    /// It has no search path of its own.
    open_path: bool,
    /// The tables that fire it.
    fired: Vec<String>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    tenancy::judged(connection, scope, (SQL, "read the SECURITY DEFINER functions"), |row, security| {
        [judge(row, &security.app_role)]
    })
    .await
}

fn judge(row: Function, role: &str) -> Finding {
    let Function { schema, name, arguments, owner, why, open_path, fired } = row;
    let path = if open_path { ", and it has no search_path of its own" } else { "" };
    let may = if fired.is_empty() {
        "execute it".to_owned()
    } else {
        format!("fire it by writing to {}", sql::few(&fired, 4))
    };
    let message = format!("{role:?} may {may} with the rights of its owner {owner:?}, {why}{path}");
    let function = format!("{}({arguments})", sql::qualified(&schema, &name));
    let remedy = if fired.is_empty() {
        format!(
            "ALTER FUNCTION {function} SECURITY INVOKER, or REVOKE EXECUTE ON FUNCTION {function} FROM \
                PUBLIC, {}",
            sql::identifier(role)
        )
    } else {
        format!(
            "ALTER FUNCTION {function} SECURITY INVOKER, or give it to a role that the policies bind, once \
                you have read what it shows"
        )
    };
    META.finding(format!("{schema}.{name}({arguments})"), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(why: &str, open_path: bool, fired: &[&str]) -> Finding {
        let fired = fired.iter().map(ToString::to_string).collect();
        let (schema, name, arguments) = ("s".into(), "f".into(), "id uuid".into());
        let (owner, why) = ("admin".into(), why.into());
        judge(Function { schema, name, arguments, owner, why, open_path, fired }, "app")
    }

    #[test]
    fn the_message_says_whose_rights_and_what_else_is_open() {
        let open = found("whom no policy binds", true, &[]);
        assert_eq!(open.object, "s.f(id uuid)");
        assert!(open.message.contains("may execute it with"), "{}", open.message);
        assert!(
            open.message.ends_with("whom no policy binds, and it has no search_path of its own"),
            "{}",
            open.message
        );
        assert!(found("whom no policy binds", false, &[]).message.ends_with("whom no policy binds"));
        assert!(open.remedy.contains("\"s\".\"f\"(id uuid) FROM PUBLIC, \"app\""), "{}", open.remedy);
    }

    #[test]
    fn a_function_of_a_trigger_is_not_mended_by_revoking_what_nobody_needs() {
        let fired = found("whom no policy binds", false, &["s.requests"]);
        assert!(fired.message.contains("may fire it by writing to s.requests"), "{}", fired.message);
        assert!(!fired.remedy.contains("REVOKE"), "{}", fired.remedy);
    }
}
