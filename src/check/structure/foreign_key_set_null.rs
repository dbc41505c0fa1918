//! A foreign key that empties its columns can do so.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::ForeignKeySetNull,
    title: "A foreign key that sets its columns to NULL has columns that can be NULL",
    condition: "A foreign key of a table in `spec.database.schemas` says ON DELETE SET NULL or ON UPDATE SET \
        NULL, and one of the columns that \
                this empties is NOT NULL.",
    effect: "The action can never be carried out: deleting or changing a row that is referred to fails, with \
        an error about the column.",
    remedy: "`ALTER TABLE … ALTER COLUMN … DROP NOT NULL`, or a foreign key with another action, for \
        instance RESTRICT.",
    severity: Severity::Warning,
    aspect: Aspect::Structure,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::always,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// ON DELETE SET NULL may name some of the columns; ON UPDATE always means all of them. A primary key's
/// columns are NOT NULL too.
const SQL: &str = "\
    SELECT n.nspname::text, t.relname::text, k.conname::text, k.confdeltype = 'n', \
           pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) \
    FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnotnull AND a.attnum = ANY(k.conkey) \
      AND (k.confupdtype = 'n' OR a.attnum = ANY(COALESCE(k.confdelsetcols, k.conkey))) \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND 'n' IN (k.confdeltype, k.confupdtype) AND n.nspname = \
    ANY($1) \
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3";

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let rows: Vec<(String, String, String, bool, Vec<String>)> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read which foreign keys set columns to NULL")?;
    Ok(rows
        .iter()
        .map(|(schema, table, name, on_delete, columns)| judge(schema, table, name, *on_delete, columns))
        .collect())
}

fn judge(schema: &str, table: &str, name: &str, on_delete: bool, columns: &[String]) -> Finding {
    let (action, verb) = if on_delete {
        ("ON DELETE SET NULL", "deleting")
    } else {
        ("ON UPDATE SET NULL", "changing the key of")
    };
    let message = format!(
        "the foreign key {name} says {action}, and {} cannot be NULL: {verb} a row that is referred to \
            always fails",
        sql::list(columns)
    );
    let drops: Vec<_> = columns
        .iter()
        .map(|column| format!("ALTER COLUMN {} DROP NOT NULL", sql::identifier(column)))
        .collect();
    let remedy =
        format!("ALTER TABLE {} {}, or another action", sql::qualified(schema, table), drops.join(", "));
    META.finding(format!("{schema}.{table}"), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_and_what_fails_are_named() {
        let finding = judge("s", "Visit", "fk", true, &["clinicId".into(), "patientId".into()]);
        assert!(finding.message.ends_with(
            "clinicId and patientId cannot be NULL: deleting a row that is referred to always fails"
        ));
        assert!(finding.remedy.starts_with(
            "ALTER TABLE \"s\".\"Visit\" ALTER COLUMN \"clinicId\" DROP NOT NULL, ALTER COLUMN"
        ));
    }
}
