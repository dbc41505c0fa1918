//! Foreign keys are named by a template of the manifest.

use sqlx::PgConnection;

use super::{
    super::{Check, enabled},
    CheckError, Deviation, Meta, QueryContext, naming, owned, query_as, report, sql,
};
use crate::{
    api::{CheckId, Finding, Severity},
    inspect::{Aspect, Scope},
};

const META: Meta = Meta {
    id: CheckId::ConventionForeignKeys,
    title: "Every foreign key is named by a template of the manifest",
    condition: "`spec.verify.conventions.foreignKeys` has templates, and a foreign key of a table in \
        `spec.database.schemas` has another name than \
                each of them gives. A name that would be longer than 63 bytes must only begin and end like \
                the template.",
    effect: "An error that names the key says nothing to its reader, and a migration that drops it by \
        its usual name fails.",
    remedy: "`ALTER TABLE … RENAME CONSTRAINT` in a migration: it takes a moment. Or name it in \
        `spec.verify.conventions.except`.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(in super::super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| enabled::by_conventions(scope, |names| !names.foreign_keys.is_empty()),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = owned::tables!(
    "SELECT own.schema, own.name, k.conname::text, \
            ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY c(number, place) \
              JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number ORDER BY \
              c.place) \
     FROM own JOIN pg_catalog.pg_constraint k ON k.conrelid = own.oid AND k.contype = 'f' AND k.conparentid \
     = 0 \
     ORDER BY 1, 2, 3"
);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(conventions) = scope.assertions.conventions.as_ref().filter(|all| !all.foreign_keys.is_empty())
    else {
        return Ok(Vec::new());
    };
    let rows: Vec<(String, String, String, Vec<String>)> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read the names of the foreign keys")?;
    let deviations = rows.iter().filter_map(|(schema, table, name, columns)| {
        judge(&conventions.foreign_keys, schema, table, name, columns)
    });
    Ok(report(&META, conventions, deviations))
}

fn judge(
    templates: &[String],
    schema: &str,
    table: &str,
    name: &str,
    columns: &[String],
) -> Option<Deviation> {
    if templates.iter().any(|template| naming::fits(name, template, table, Some(columns))) {
        return None;
    }
    let desired: Vec<_> =
        templates.iter().map(|template| naming::fill(template, table, Some(columns))).collect();
    Some(Deviation {
        names: super::names(schema, table, Some(name)).into_iter().chain([name.to_owned()]).collect(),
        object: format!("{schema}.{table}"),
        message: format!("the foreign key {name} should be named {}", desired.join(" or ")),
        remedy: format!(
            "ALTER TABLE {} RENAME CONSTRAINT {} TO {}",
            sql::qualified(schema, table),
            sql::identifier(name),
            sql::identifier(&desired[0])
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_that_renames_it_is_told() {
        let templates = ["{table}_{columns}_fkey".to_owned()];
        assert!(judge(&templates, "s", "Visit", "Visit_patientId_fkey", &["patientId".into()]).is_none());
        let found = judge(&templates, "s", "Visit", "fk1", &["patientId".into()]).expect("a deviation");
        assert_eq!(
            found.remedy,
            "ALTER TABLE \"s\".\"Visit\" RENAME CONSTRAINT \"fk1\" TO \"Visit_patientId_fkey\""
        );
    }
}
