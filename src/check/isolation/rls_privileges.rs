//! The application may use tables, and not hang code on them or put code where others find it by name.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, RowLevelSecurity, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::RlsPrivileges,
    title: "The application may not create triggers, foreign keys or functions that the migration role \
        would run",
    condition: "The application's role, a role that it is a member of, or PUBLIC has the privilege TRIGGER \
        on a table or view of \
                `spec.database.schemas`, or CREATE on one of these schemas; or a function of theirs \
                is that of an event trigger. With REFERENCES on a table, or CREATE on the database, it is a \
                warning. Not \
                asked where the application can become the migration role: then it has more than that.",
    effect: "A trigger runs with the rights of the role that writes to the table: of the next migration, \
        which \
        owns everything. A function or an \
             operator in a schema that others search is found by them in place of PostgreSQL's own. A \
             foreign key is checked past row-level security, so \
             it tells whether another tenant has a key, and it keeps others from deleting rows.",
    remedy: "`GRANT SELECT, INSERT, UPDATE, DELETE` in place of `GRANT ALL`, which includes TRIGGER, \
        REFERENCES and TRUNCATE; and `REVOKE CREATE ON SCHEMA \
             public FROM PUBLIC`, which databases made before PostgreSQL 15 still grant.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// One row for each privilege on each schema: what it is on, and who has it. What an owner may do by owning
/// is not read of tables. $1 schemas, $2 application role.
const SQL: &str = "\
    WITH a AS (SELECT a.oid FROM pg_catalog.pg_roles a WHERE a.rolname = $2 AND NOT a.rolsuper AND NOT \
    EXISTS (SELECT FROM pg_catalog.pg_roles me \
      WHERE me.rolname IN (SESSION_USER, CURRENT_USER) AND pg_catalog.pg_has_role(a.oid, me.oid, \
      'MEMBER'))), \
    who AS (SELECT r.oid, r.rolname::text AS name FROM a, pg_catalog.pg_roles r WHERE \
    pg_catalog.pg_has_role(a.oid, r.oid, 'MEMBER') \
      UNION ALL SELECT 0, 'PUBLIC' FROM a) \
    SELECT x.privilege_type::text, n.nspname::text, pg_catalog.array_agg(DISTINCT c.relname::text ORDER BY \
    c.relname::text), \
           pg_catalog.array_agg(DISTINCT w.name ORDER BY w.name) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    CROSS JOIN LATERAL (SELECT x.grantee, x.privilege_type FROM pg_catalog.aclexplode(c.relacl) x \
      UNION ALL SELECT x.grantee, x.privilege_type FROM pg_catalog.pg_attribute t, \
      pg_catalog.aclexplode(t.attacl) x \
        WHERE t.attrelid = c.oid AND NOT t.attisdropped) x \
    JOIN who w ON w.oid = x.grantee \
    WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND x.grantee <> c.relowner AND \
    x.privilege_type IN ('TRIGGER', 'REFERENCES') \
    GROUP BY 1, 2 \
    UNION ALL SELECT 'CREATE', n.nspname::text, '{}', pg_catalog.array_agg(DISTINCT w.name ORDER BY w.name) \
    FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(n.nspacl, \
    pg_catalog.acldefault('n', n.nspowner))) x JOIN who w ON w.oid = x.grantee \
    WHERE n.nspname = ANY($1) AND x.privilege_type = 'CREATE' GROUP BY 2 \
    UNION ALL SELECT 'CREATE', NULL, '{}', pg_catalog.array_agg(DISTINCT w.name ORDER BY w.name) \
    FROM pg_catalog.pg_database d CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(d.datacl, \
    pg_catalog.acldefault('d', d.datdba))) x JOIN who w ON w.oid = x.grantee \
    WHERE d.datname = pg_catalog.current_database() AND x.privilege_type = 'CREATE' HAVING \
    pg_catalog.count(*) > 0 \
    UNION ALL SELECT 'EVENT', e.evtname::text, ARRAY[pg_catalog.format('%I.%I()', n.nspname, p.proname)], \
    ARRAY[w.name] FROM pg_catalog.pg_event_trigger e \
    JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
    JOIN who w ON w.oid = p.proowner \
    WHERE e.evtenabled <> 'D' \
    ORDER BY 1, 2";

/// Privilege, schema or the whole database (or the event trigger), tables (or its function), who has it.
type Row = (String, Option<String>, Vec<String>, Vec<String>);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let rows: Vec<Row> = query_as(SQL)
        .bind(&scope.schemas)
        .bind(&security.app_role)
        .fetch_all(connection)
        .await
        .context("read which privileges the application has beyond those to rows")?;
    Ok(rows.into_iter().map(|row| judge(row, security)).collect())
}

fn judge((privilege, schema, tables, who): Row, security: &RowLevelSecurity) -> Finding {
    let names: Vec<_> =
        who.iter().map(|name| if name == "PUBLIC" { name.clone() } else { sql::identifier(name) }).collect();
    let (app, through) = (&security.app_role, sql::list(&who));
    let through = if who.as_slice() == std::slice::from_ref(app) {
        String::new()
    } else {
        format!(" (through {through})")
    };
    let (from, through_whom) =
        (names.join(", "), who.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "));
    let Some(schema) = schema else {
        let message = format!(
            "{app:?} may create schemas in the database{through}, and put functions there that others find \
                by name"
        );
        let finding = META.finding(app, message, format!("REVOKE CREATE ON DATABASE … FROM {from}"));
        return Finding { severity: Severity::Warning, ..finding };
    };
    let quoted = sql::identifier(&schema);
    let on = sql::few(&tables, 4);
    match privilege.as_str() {
        "CREATE" => {
            let message = format!(
                "{app:?} may create functions and operators in it{through}, which others call for \
                    PostgreSQL's own"
            );
            META.finding(schema, message, format!("REVOKE CREATE ON SCHEMA {quoted} FROM {from}"))
        }
        "EVENT" => {
            let message = format!(
                "this event trigger runs a function of {through_whom} with the rights of the role that \
                    changes the schema: the migration role"
            );
            META.finding(
                schema,
                message,
                format!("ALTER FUNCTION {on} OWNER TO the migration role, once you have read it"),
            )
        }
        "TRIGGER" => {
            let message = format!(
                "{app:?} may create triggers on {on}{through}: they run with the rights of the role that \
                    writes there, the next migration's too"
            );
            META.finding(
                schema,
                message,
                format!("REVOKE TRIGGER ON ALL TABLES IN SCHEMA {quoted} FROM {from}"),
            )
        }
        _ => {
            let message = format!(
                "{app:?} may create foreign keys to {on}{through}: they are checked past row-level security"
            );
            let remedy = format!("REVOKE REFERENCES ON ALL TABLES IN SCHEMA {quoted} FROM {from}");
            Finding { severity: Severity::Warning, ..META.finding(schema, message, remedy) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(privilege: &str, schema: Option<&str>, who: &[&str]) -> Finding {
        let security = RowLevelSecurity { app_role: "app".into(), ..RowLevelSecurity::default() };
        let row = (
            privilege.into(),
            schema.map(Into::into),
            vec!["visits".into()],
            who.iter().map(ToString::to_string).collect(),
        );
        judge(row, &security)
    }

    #[test]
    fn the_remedy_takes_it_from_whom_it_was_granted_to() {
        assert_eq!(
            found("TRIGGER", Some("s"), &["app"]).remedy,
            "REVOKE TRIGGER ON ALL TABLES IN SCHEMA \"s\" FROM \"app\""
        );
        assert_eq!(
            found("CREATE", Some("s"), &["PUBLIC", "staff"]).remedy,
            "REVOKE CREATE ON SCHEMA \"s\" FROM PUBLIC, \"staff\""
        );
        assert!(found("CREATE", Some("s"), &["PUBLIC"]).message.contains("(through PUBLIC)"));
    }

    #[test]
    fn what_runs_code_is_an_error_and_the_rest_a_warning() {
        let severity = |privilege, schema| found(privilege, schema, &["app"]).severity;
        assert_eq!(
            (severity("TRIGGER", Some("s")), severity("CREATE", Some("s"))),
            (Severity::Error, Severity::Error)
        );
        assert_eq!(
            (severity("REFERENCES", Some("s")), severity("CREATE", None)),
            (Severity::Warning, Severity::Warning)
        );
    }
}
