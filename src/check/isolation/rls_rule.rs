//! Rules do not lend the application an owner's hands.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsRule,
    title: "No rule takes the application past its policies",
    condition: "A table or view has a rule for INSERT, UPDATE or DELETE that reads or writes a tenant table \
        with row-level security, itself or through \
                views and other rules; the application's role may make that command, on it, on a view of it \
                or on the table that it is a part of; and the owner of \
                the table, or of a view in between, is one whom the policies of the tenant table do not \
                bind, as in `rls-view`. A warning where other policies bind it. \
                A table that is named in `except` is not asked.",
    effect: "What a rule does is done with the rights of the table's owner, also where the view says \
        `security_invoker`: an UPDATE of one table returns, \
             changes or deletes every tenant's rows of another.",
    remedy: "`DROP RULE`, and write a trigger whose function is SECURITY INVOKER; or give the table to a \
        role that the policies bind.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// A rule depends on its own table because of OLD and NEW; that it reads its own table beside them says only
/// its tree. From relation to relation the rights change to those of the owner, but for what a view with
/// `security_invoker` reads.
const SQL: &str = tenancy::tenants!(
    tenancy::policies!(),
    tenancy::doors!(),
    ", reads AS (SELECT w.oid AS rule, w.ev_class AS of, w.ev_type, d.refobjid AS relation, \
         w.ev_type <> '1' OR NOT EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) o \
           WHERE o.option_name = 'security_invoker' AND o.option_value::boolean) AS as_owner, c.relowner AS \
           owner \
       FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class \
       JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = \
       w.oid \
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
       WHERE w.oid >= 16384 AND w.ev_enabled <> 'D' AND (d.refobjid <> w.ev_class OR (w.ev_type <> '1' \
         AND (SELECT pg_catalog.count(*) FROM pg_catalog.regexp_matches(w.ev_action::text, ':rtekind 0 \
         :relid ' || w.ev_class || ' ', 'g')) \
           > (SELECT pg_catalog.count(*) FROM pg_catalog.regexp_matches(w.ev_action::text, ':alias [{]ALIAS \
           :aliasname (old|new) ', 'g')))) \
       GROUP BY 1, 2, 3, 4, 5, 6), \
     acts(rule, relation, role) AS (SELECT r.rule, r.relation, r.owner FROM reads r WHERE r.ev_type <> '1' \
       UNION SELECT s.rule, r.relation, CASE WHEN r.as_owner THEN r.owner ELSE s.role END FROM acts s JOIN \
       reads r ON r.of = s.relation) \
     SELECT n.nspname::text AS schema, c.relname::text AS table, w.rulename::text AS name, \
            CASE w.ev_type WHEN '2' THEN 'UPDATE' WHEN '3' THEN 'INSERT' ELSE 'DELETE' END AS command, \
            COALESCE(m.certain, '{}') AS certain, COALESCE(m.possible, '{}') AS possible, m.roles \
     FROM app a, pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class JOIN \
     pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(DISTINCT x.name ORDER BY x.name) FILTER (WHERE x.more = \
     2) AS certain, \
         pg_catalog.array_agg(DISTINCT x.name ORDER BY x.name) FILTER (WHERE x.more = 1) AS possible, \
         pg_catalog.array_agg(DISTINCT x.role ORDER BY x.role) AS roles FROM ( \
       SELECT t.schema || '.' || t.name AS name, b.rolname::text AS role, ",
    tenancy::sees_more!(),
    " AS more FROM acts s JOIN tenant_tables t ON t.oid = s.relation AND t.enabled JOIN pg_catalog.pg_roles \
        b ON b.oid = s.role \
       WHERE s.rule = w.oid) x WHERE x.more > 0) m \
     WHERE w.oid >= 16384 AND w.ev_type <> '1' AND w.ev_enabled <> 'D' AND NOT a.rolsuper AND m.roles IS NOT \
     NULL AND c.oid NOT IN (SELECT oid FROM excepted) \
       AND EXISTS (SELECT FROM doors JOIN pg_catalog.pg_class d ON d.oid = doors.door WHERE doors.relation = \
       c.oid \
         AND pg_catalog.has_schema_privilege(a.oid, d.relnamespace, 'USAGE') AND CASE w.ev_type \
           WHEN '2' THEN pg_catalog.has_any_column_privilege(a.oid, d.oid, 'UPDATE') WHEN '3' THEN \
           pg_catalog.has_any_column_privilege(a.oid, d.oid, 'INSERT') \
           ELSE pg_catalog.has_table_privilege(a.oid, d.oid, 'DELETE') END) \
     ORDER BY 1, 2, 3"
);

#[derive(FromRow)]
struct Rule {
    schema: String,
    table: String,
    name: String,
    command: String,
    /// Tenant tables that it reaches past their policies.
    certain: Vec<String>,
    /// Those that it may so reach.
    possible: Vec<String>,
    /// With whose rights.
    roles: Vec<String>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    tenancy::judged(connection, scope, (SQL, "read the rules that reach tenant tables"), |row, security| {
        [judge(row, &security.app_role)]
    })
    .await
}

fn judge(row: Rule, app: &str) -> Finding {
    let Rule { schema, table, name, command, certain, possible, roles } = row;
    let (tables, why, severity) = if certain.is_empty() {
        (possible, "whom other policies bind: what they show of other tenants is unproven", Severity::Warning)
    } else {
        (certain, "whom no policy binds there", Severity::Error)
    };
    let roles: Vec<_> = roles.iter().map(|role| format!("{role:?}")).collect();
    let message = format!(
        "the rule {name} lets every {command} of {app:?} reach {} with the rights of {}, {why}",
        sql::few(&tables, 4),
        sql::list(&roles)
    );
    let remedy = format!("DROP RULE {} ON {}", sql::identifier(&name), sql::qualified(&schema, &table));
    Finding { severity, ..META.finding(format!("{schema}.{table}"), message, remedy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(certain: &[&str], possible: &[&str]) -> Finding {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (schema, table, name, command) = ("s".into(), "notes".into(), "r".into(), "UPDATE".into());
        let (certain, possible, roles) = (names(certain), names(possible), names(&["migrator"]));
        judge(Rule { schema, table, name, command, certain, possible, roles }, "app")
    }

    #[test]
    fn the_rule_is_named_with_what_it_reaches_and_dropped() {
        let finding = found(&["s.patients"], &["s.visits"]);
        assert_eq!(finding.object, "s.notes");
        assert!(
            finding
                .message
                .contains("every UPDATE of \"app\" reach s.patients with the rights of \"migrator\""),
            "{}",
            finding.message
        );
        assert_eq!(finding.remedy, "DROP RULE \"r\" ON \"s\".\"notes\"");
    }

    #[test]
    fn only_what_is_certain_is_an_error() {
        assert_eq!(found(&["s.patients"], &[]).severity, Severity::Error);
        assert_eq!(found(&[], &["s.patients"]).severity, Severity::Warning);
    }
}
