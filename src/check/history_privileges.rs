//! Who may write rows of the history without owning it. Checked beside [`super::all`], because where the
//! history is only the stage knows.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    inspect::{CheckError, QueryContext, sql},
    migrations::HistoryContract,
    postgres::query_as,
};

/// The history and what is in the schema `sluice`: one row for each privilege that was granted on a relation,
/// of the table or of a column of it, and one for each role with members that may do the same. Not told are
/// owners, the role that reads, the owner of the database and superusers. A member of a role that is told has
/// what it has. From PostgreSQL 16 on a membership may give nothing but the right to pass it on, which its
/// administrator has in any case. $1 and $2 schema and table of the history.
const SQL: &str = "\
    WITH kept AS (SELECT c.oid, c.relacl, c.relowner, n.nspname::text AS nsp, c.relname::text AS rel \
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      WHERE c.relkind IN ('r', 'p') AND (n.nspname = 'sluice' OR (n.nspname = $1 AND c.relname = $2))), \
    exempt AS (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper OR r.rolname = CURRENT_USER \
        OR r.oid = (SELECT d.datdba FROM pg_catalog.pg_database d WHERE d.datname = \
        pg_catalog.current_database()) \
      UNION SELECT k.relowner FROM kept k), \
    granted AS (SELECT k.nsp, k.rel, x.grantee, x.privilege_type::text AS privilege FROM kept k CROSS JOIN \
    LATERAL ( \
        SELECT a.grantee, a.privilege_type FROM pg_catalog.aclexplode(k.relacl) a \
        UNION ALL SELECT a.grantee, a.privilege_type FROM pg_catalog.pg_attribute t, \
        pg_catalog.aclexplode(t.attacl) a \
          WHERE t.attrelid = k.oid AND NOT t.attisdropped) x \
      WHERE x.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') AND x.grantee NOT IN (SELECT oid \
      FROM exempt)), \
    each AS (SELECT g.nsp, g.rel, COALESCE(r.rolname::text, 'PUBLIC') AS role, r.oid IS NULL AS public, \
        pg_catalog.array_agg(DISTINCT g.privilege ORDER BY g.privilege) AS privileges \
      FROM granted g LEFT JOIN pg_catalog.pg_roles r ON r.oid = g.grantee GROUP BY 1, 2, 3, 4) \
    SELECT e.nsp, e.rel, pg_catalog.array_agg(e.role ORDER BY e.role) FILTER (WHERE NOT e.public), \
    pg_catalog.bool_or(e.public), e.privileges \
    FROM each e GROUP BY 1, 2, 5 \
    UNION ALL SELECT NULL, h.rolname::text, pg_catalog.array_agg(DISTINCT r.rolname::text ORDER BY \
    r.rolname::text), false, '{}' \
    FROM pg_catalog.pg_roles h JOIN pg_catalog.pg_auth_members m ON m.roleid = h.oid JOIN \
    pg_catalog.pg_roles r ON r.oid = m.member \
    WHERE (h.rolname IN (CURRENT_USER, 'pg_write_all_data') OR h.oid IN (SELECT k.relowner FROM kept k)) AND \
    EXISTS (SELECT FROM kept) \
      AND m.member NOT IN (SELECT oid FROM exempt) \
      AND 'true' IN (COALESCE(pg_catalog.to_jsonb(m) ->> 'inherit_option', 'true'), \
      COALESCE(pg_catalog.to_jsonb(m) ->> 'set_option', 'true')) \
    GROUP BY 2 ORDER BY 1, 2, 5";

/// Schema and relation, or nothing and a role with members; roles, whether PUBLIC is one of them, and what
/// they may do.
type Row = (Option<String>, String, Option<Vec<String>>, bool, Vec<String>);

/// As many roles as a message names.
const NAMED: usize = 10;

/// A finding for each relation and what may be done to its rows, and for each role whose members may. It is a
/// warning: many teams give an application everything in its schema, and the manifest did not ask for less.
pub async fn history_privileges(
    connection: &mut PgConnection,
    history_table: &HistoryContract,
) -> Result<Vec<Finding>, CheckError> {
    let rows: Vec<Row> = query_as(SQL)
        .bind(&history_table.schema)
        .bind(history_table.table)
        .fetch_all(connection)
        .await
        .context("read who may write the history")?;
    Ok(rows.into_iter().map(judge).collect())
}

fn judge((schema, name, roles, public, privileges): Row) -> Finding {
    let roles = roles.unwrap_or_default();
    let everyone = || public.then(|| "PUBLIC".to_owned());
    let told: Vec<String> = roles.iter().map(|role| format!("{role:?}")).chain(everyone()).collect();
    let told = sql::few(&told, NAMED);
    let from =
        roles.iter().map(|role| sql::identifier(role)).chain(everyone()).collect::<Vec<_>>().join(", ");
    let forged = "a session of such a role can record a migration that never ran, or take one away that did";
    let (object, message, remedy) = match schema {
        Some(schema) => (
            format!("{schema}.{name}"),
            format!("{told} may {} its rows without being its owner: {forged}", sql::list(&privileges)),
            format!("REVOKE {} ON {} FROM {from}", privileges.join(", "), sql::qualified(&schema, &name)),
        ),
        None => (
            name.clone(),
            format!("{told} can act as {name:?}, which may write the history: {forged}"),
            format!("REVOKE {} FROM {from}", sql::identifier(&name)),
        ),
    };
    Finding { check: CheckId::HistoryPrivileges, object, severity: Severity::Warning, message, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_remedy_is_a_statement_that_takes_it_from_exactly_those_who_have_it() {
        let granted = (
            Some("public".into()),
            "_prisma_migrations".into(),
            Some(names(&["App"])),
            true,
            names(&["INSERT", "UPDATE"]),
        );
        let found = judge(granted);
        assert_eq!(
            found.remedy,
            "REVOKE INSERT, UPDATE ON \"public\".\"_prisma_migrations\" FROM \"App\", PUBLIC"
        );
        assert!(
            found.message.starts_with("\"App\" and PUBLIC may INSERT and UPDATE its rows"),
            "{}",
            found.message
        );
        let member = judge((None, "migrator".into(), Some(names(&["app", "bi"])), false, Vec::new()));
        assert_eq!(
            (member.remedy.as_str(), member.object.as_str()),
            ("REVOKE \"migrator\" FROM \"app\", \"bi\"", "migrator")
        );
        assert_eq!((found.severity, member.severity), (Severity::Warning, Severity::Warning));
    }
}
