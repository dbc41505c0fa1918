//! Views do not lend the application an owner's eyes.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsView,
    title: "No view shows the application what its policies hide",
    condition: "A view, in whatever schema, reads a tenant table with row-level security and has no \
        `security_invoker`; its owner is a superuser, has \
                BYPASSRLS, owns the table and row-level security is not forced, or is let through by a \
                policy that says `true` (a policy TO the \
                migration role, for instance); and the application's role may use the view, directly or \
                through another view. A warning where a policy for the owner is not one for the application, \
                or a restrictive one binds the application alone: then only \
                its conditions say what the owner sees. Also a materialized view over such a table, because \
                nothing filters what it has stored: a warning where its \
                owner is bound like the application. A view that is named in `except` is not checked.",
    effect: "The view reads with its owner's rights, so a role that may read the view reads every tenant's \
        rows.",
    remedy: "`ALTER VIEW … SET (security_invoker = true)` (PostgreSQL 15 and newer). A materialized view \
        cannot have it: revoke it from the \
             application and give it a view on top that compares the tenant column with the setting; then \
             name both in `except`.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// A relation that reads another one depends on it through its rewrite rule. A view with `security_invoker`
/// reads as the role that queries, also inside another view; so only the view that reads the table matters,
/// and for materialized views the one who fills them.
const SQL: &str = tenancy::tenants!(
    tenancy::policies!(),
    ", reads AS (SELECT DISTINCT w.ev_class AS view, d.refobjid AS relation FROM pg_catalog.pg_rewrite w \
       JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = \
       w.oid \
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> w.ev_class), \
     views AS (SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind = 'm' AS stored, \
     c.relowner AS owner, \
         NOT EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) o \
           WHERE o.option_name = 'security_invoker' AND o.option_value::boolean) AS definer, (",
    tenancy::app_reaches!(),
    ") AND c.oid NOT IN (SELECT oid FROM excepted) AS reached \
       FROM app a, pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE \
       c.relkind IN ('v', 'm')), \
     fills(view, relation) AS (SELECT r.view, r.relation FROM reads r JOIN views v ON v.oid = r.view AND \
     v.stored \
       UNION SELECT f.view, r.relation FROM fills f JOIN reads r ON r.view = f.relation), \
     suspects AS (SELECT r.view, r.relation FROM reads r JOIN views v ON v.oid = r.view AND v.definer AND \
     NOT v.stored UNION SELECT * FROM fills), \
     shows(view, suspect) AS (SELECT v.oid, v.oid FROM views v \
       UNION SELECT r.view, s.suspect FROM shows s JOIN reads r ON r.relation = s.view) \
     SELECT v.schema, v.name, v.stored, b.rolname::text AS owner, COALESCE(m.certain, '{}') AS tables, \
     COALESCE(m.possible, '{}') AS possible, \
            ARRAY(SELECT DISTINCT u.schema || '.' || u.name FROM shows s JOIN views u ON u.oid = s.view \
            WHERE s.suspect = v.oid AND u.reached ORDER BY 1) AS doors, \
            v.reached \
     FROM app a CROSS JOIN views v JOIN pg_catalog.pg_roles b ON b.oid = v.owner CROSS JOIN LATERAL ( \
       SELECT pg_catalog.array_agg(x.name ORDER BY x.name) FILTER (WHERE x.more = 2) AS certain, \
              pg_catalog.array_agg(x.name ORDER BY x.name) FILTER (WHERE x.more < 2) AS possible FROM ( \
         SELECT t.schema || '.' || t.name AS name, ",
    tenancy::sees_more!(),
    " AS more FROM tenant_tables t WHERE t.enabled AND t.oid IN (SELECT s.relation FROM suspects s WHERE \
        s.view = v.oid)) x \
       WHERE x.more > 0 OR v.stored) m \
     WHERE v.oid IN (SELECT view FROM suspects) AND v.oid NOT IN (SELECT oid FROM excepted) ORDER BY 1, 2"
);

#[derive(FromRow)]
struct View {
    schema: String,
    name: String,
    /// It is a materialized view.
    stored: bool,
    owner: String,
    /// The tenant tables that it reads past their policies.
    tables: Vec<String>,
    /// Those of which it may show more than the application sees.
    possible: Vec<String>,
    /// The views through which the application gets there; itself, when it may use it directly.
    doors: Vec<String>,
    /// The application may use it directly.
    reached: bool,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    tenancy::judged(connection, scope, (SQL, "read the views over tenant tables"), |view, security| {
        judge(&view, &security.app_role)
    })
    .await
}

fn judge(view: &View, role: &str) -> Option<Finding> {
    let certain = !view.tables.is_empty();
    let tables = if certain { &view.tables } else { &view.possible };
    if tables.is_empty() || view.doors.is_empty() {
        return None;
    }
    let way = if view.reached { String::new() } else { format!(" through {}", sql::few(&view.doors, 3)) };
    let (tables, owner) = (sql::few(tables, 4), &view.owner);
    let name = sql::qualified(&view.schema, &view.name);
    let (message, remedy) = if view.stored {
        let message = format!(
            "{role:?} reads{way} what {owner:?} stored in it from {tables}, and nothing filters that by \
                tenant"
        );
        let remedy = format!(
            "REVOKE ALL ON {name} FROM {}, and put a view that compares the tenant column in front of it",
            sql::identifier(role)
        );
        (message, remedy)
    } else {
        let why = if certain {
            "whom no policy binds"
        } else {
            "whom other policies bind: what they show of other tenants is unproven"
        };
        let message = format!("{role:?} reads{way} {tables} with the rights of its owner {owner:?}, {why}");
        (message, format!("ALTER VIEW {name} SET (security_invoker = true)"))
    };
    let finding = META.finding(format!("{}.{}", view.schema, view.name), message, remedy);
    Some(if certain { finding } else { Finding { severity: Severity::Warning, ..finding } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let (schema, name, owner) = ("s".to_owned(), "agenda".to_owned(), "migrator".to_owned());
        let (tables, doors) = (vec!["s.visits".into()], vec!["s.agenda".into()]);
        View { schema, name, stored: false, owner, tables, possible: Vec::new(), doors, reached: true }
    }

    #[test]
    fn a_view_that_reads_past_no_policy_or_that_nobody_reaches_is_fine() {
        assert_eq!(judge(&View { tables: Vec::new(), ..view() }, "app"), None);
        assert_eq!(judge(&View { doors: Vec::new(), reached: false, ..view() }, "app"), None);
    }

    #[test]
    fn what_only_other_policies_may_show_is_a_warning() {
        let (tables, possible) = (Vec::new(), vec!["s.visits".into()]);
        let found = judge(&View { tables, possible, ..view() }, "app").expect("it may show more");
        assert_eq!(found.severity, Severity::Warning);
        assert!(found.message.contains("unproven"), "{}", found.message);
    }

    #[test]
    fn a_view_is_mended_by_security_invoker_and_a_stored_one_by_revoking_it() {
        let remedy = |view: &View| judge(view, "app").map(|finding| finding.remedy).unwrap_or_default();
        assert_eq!(remedy(&view()), "ALTER VIEW \"s\".\"agenda\" SET (security_invoker = true)");
        assert!(remedy(&View { stored: true, ..view() }).starts_with("REVOKE ALL ON"));
    }

    #[test]
    fn the_way_through_another_view_is_named() {
        let hidden = View { doors: vec!["s.report".into()], reached: false, ..view() };
        assert!(
            judge(&hidden, "app")
                .is_some_and(|finding| finding.message.contains("reads through s.report s.visits"))
        );
    }
}
