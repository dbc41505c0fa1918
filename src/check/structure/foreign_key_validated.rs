//! Every foreign key holds for the rows that were there before it.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::Check,
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::ForeignKeyValidated,
    title: "Every foreign key is validated and enforced",
    condition: "A foreign key of a table in `spec.database.schemas` is NOT VALID, or its triggers are \
        switched off on one of the two tables \
                (`DISABLE TRIGGER ALL`, `pg_restore --disable-triggers`). A warning, because adding a key \
                that way and validating it later \
                is how it is done without blocking; an error where `spec.verify.foreignKeys.validated` is \
                true; not checked where it is false.",
    effect: "Of a key that is NOT VALID new rows are checked; those that were there before may refer to rows \
        that do not exist. Of one whose triggers are \
             switched off nothing is checked, though it looks valid everywhere.",
    remedy: "`ALTER TABLE … VALIDATE CONSTRAINT` in a migration of its own: it blocks no writer. Triggers: \
        `ALTER TABLE … ENABLE TRIGGER ALL` as a \
             superuser, then search for rows that refer to nothing.",
    severity: Severity::Warning,
    aspect: Aspect::Structure,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| scope.assertions.foreign_keys.validated != Some(false),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = "\
    SELECT n.nspname::text, t.relname::text, k.conname::text, (SELECT \
    pg_catalog.min(g.tgrelid::pg_catalog.regclass::text) FROM pg_catalog.pg_trigger g \
      WHERE g.tgconstraint = k.oid AND g.tgenabled IN ('D', 'R')) AS off \
    FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = ANY($1) \
      AND (NOT k.convalidated OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgconstraint = k.oid \
      AND g.tgenabled IN ('D', 'R'))) \
    ORDER BY 1, 2, 3";

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let severity = match scope.assertions.foreign_keys.validated {
        Some(false) => return Ok(Vec::new()),
        Some(true) => Severity::Error,
        None => META.severity,
    };
    let rows: Vec<(String, String, String, Option<String>)> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read which foreign keys are not validated")?;
    Ok(rows
        .iter()
        .map(|(schema, table, name, off)| judge(schema, table, name, off.as_deref(), severity))
        .collect())
}

/// `off` is the table whose triggers for it are switched off, written as in SQL.
fn judge(schema: &str, table: &str, name: &str, off: Option<&str>, severity: Severity) -> Finding {
    if let Some(off) = off {
        let message = format!(
            "the triggers of the foreign key {name} are switched off on {off}: it looks valid, and rows may \
                refer to nothing"
        );
        let remedy = format!(
            "ALTER TABLE {off} ENABLE TRIGGER ALL as a superuser, then search for rows of {schema}.{table} \
                that refer to nothing"
        );
        return Finding { severity, ..META.finding(format!("{schema}.{table}"), message, remedy) };
    }
    let message = format!("the foreign key {name} is NOT VALID: rows from before it may refer to nothing");
    let remedy = format!(
        "ALTER TABLE {} VALIDATE CONSTRAINT {}",
        sql::qualified(schema, table),
        sql::identifier(name)
    );
    Finding { severity, ..META.finding(format!("{schema}.{table}"), message, remedy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_the_statement_that_is_missing() {
        let finding = judge("s", "Visit", "fk", None, Severity::Error);
        assert_eq!(finding.remedy, "ALTER TABLE \"s\".\"Visit\" VALIDATE CONSTRAINT \"fk\"");
        assert_eq!(finding.severity, Severity::Error);
        let finding = judge("s", "Visit", "fk", Some("s.\"Patient\""), Severity::Error);
        assert!(
            finding.remedy.starts_with("ALTER TABLE s.\"Patient\" ENABLE TRIGGER ALL"),
            "{}",
            finding.remedy
        );
    }
}
