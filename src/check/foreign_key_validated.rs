//! Every foreign key holds for the rows that were there before it.

use sqlx::PgConnection;

use super::{Asked, Aspect, Check, CheckError, Meta, Scope, sql};
use crate::{
    api::{Finding, Severity},
    postgres::query_as,
};

const META: Meta = Meta {
    id: "foreign-key-validated",
    title: "Every foreign key is validated",
    condition: "A foreign key of a table in `spec.database.schemas` is NOT VALID. A warning, because adding a key that way and validating it later \
                is how it is done without blocking; an error where `spec.verify.foreignKeys.validated` is true; not looked at where it is false.",
    effect: "New rows are checked; those that were there before may refer to rows that do not exist.",
    remedy: "`ALTER TABLE … VALIDATE CONSTRAINT` in a migration of its own: it blocks no writer.",
    severity: Severity::Warning,
    aspect: Aspect::Structure,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    asks: |scope| scope.demands.foreign_keys.validated != Some(false),
    look: |connection, scope| Box::pin(look(connection, scope)),
};

const SQL: &str = "\
    SELECT n.nspname::text, t.relname::text, k.conname::text \
    FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND NOT k.convalidated AND n.nspname = ANY($1) \
    ORDER BY 1, 2, 3";

async fn look(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let severity = match scope.demands.foreign_keys.validated {
        Some(false) => return Ok(Vec::new()),
        Some(true) => Severity::Error,
        None => META.severity,
    };
    let rows: Vec<(String, String, String)> =
        query_as(SQL).bind(&scope.schemas).fetch_all(connection).await.asked("read which foreign keys are not validated")?;
    Ok(rows.iter().map(|(schema, table, name)| judge(schema, table, name, severity)).collect())
}

fn judge(schema: &str, table: &str, name: &str, severity: Severity) -> Finding {
    let message = format!("the foreign key {name} is NOT VALID: rows from before it may refer to nothing");
    let remedy = format!("ALTER TABLE {} VALIDATE CONSTRAINT {}", sql::qualified(schema, table), sql::identifier(name));
    Finding { severity, ..META.finding(format!("{schema}.{table}"), message, remedy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_the_statement_that_is_missing() {
        let finding = judge("s", "Visit", "fk", Severity::Error);
        assert_eq!(finding.remedy, "ALTER TABLE \"s\".\"Visit\" VALIDATE CONSTRAINT \"fk\"");
        assert_eq!(finding.severity, Severity::Error);
    }
}
