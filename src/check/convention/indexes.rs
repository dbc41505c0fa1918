//! Indexes are named by a template of the manifest.

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
    id: CheckId::ConventionIndexes,
    title: "Every index is named by a template of the manifest",
    condition: "`spec.verify.conventions.indexes` has templates, and an index of a table in \
        `spec.database.schemas` has another name than each of \
                them gives. The indexes of constraints are left out, as are partitions. A name that is \
                longer than 63 bytes, or the index \
                of an expression, must only begin and end like the template.",
    effect: "The name does not say what the index is for, and the same index is created twice under two \
        names.",
    remedy: "`ALTER INDEX … RENAME TO` in a migration: it takes a moment. Or name it in \
        `spec.verify.conventions.except`.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(in super::super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| enabled::by_conventions(scope, |names| !names.indexes.is_empty()),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = owned::tables!(
    "SELECT own.schema, own.name, x.relname::text, 0 = ANY(i.indkey::int2[]), \
            ARRAY(SELECT a.attname::text FROM pg_catalog.generate_series(1, i.indnkeyatts) k(n) \
              JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n - 1] \
              ORDER BY k.n) \
     FROM own JOIN pg_catalog.pg_index i ON i.indrelid = own.oid \
     JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype \
     IN ('p', 'u', 'x')) \
     ORDER BY 1, 2, 3"
);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(conventions) = scope.assertions.conventions.as_ref().filter(|all| !all.indexes.is_empty())
    else {
        return Ok(Vec::new());
    };
    let rows: Vec<(String, String, String, bool, Vec<String>)> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read the names of the indexes")?;
    let deviations = rows.iter().filter_map(|(schema, table, name, expression, columns)| {
        judge(&conventions.indexes, schema, table, name, (!expression).then_some(columns))
    });
    Ok(report(&META, conventions, deviations))
}

fn judge(
    templates: &[String],
    schema: &str,
    table: &str,
    name: &str,
    columns: Option<&Vec<String>>,
) -> Option<Deviation> {
    let columns = columns.map(Vec::as_slice);
    if templates.iter().any(|template| naming::fits(name, template, table, columns)) {
        return None;
    }
    let desired: Vec<_> = templates.iter().map(|template| naming::fill(template, table, columns)).collect();
    let own = [name.to_owned(), format!("{schema}.{name}")];
    Some(Deviation {
        names: super::names(schema, table, None).into_iter().chain(own).collect(),
        object: format!("{schema}.{name}"),
        message: format!("this index of {schema}.{table} should be named {}", desired.join(" or ")),
        remedy: format!(
            "ALTER INDEX {} RENAME TO {}",
            sql::qualified(schema, name),
            sql::identifier(&desired[0])
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_it_should_have_is_told() {
        let templates = ["{table}_{columns}_idx".to_owned(), "{table}_{columns}_key".to_owned()];
        let columns = vec!["email".to_owned()];
        assert!(judge(&templates, "s", "User", "User_email_key", Some(&columns)).is_none());
        let found = judge(&templates, "s", "User", "by_email", Some(&columns)).expect("a deviation");
        assert!(found.message.ends_with("should be named User_email_idx or User_email_key"));
        assert_eq!(found.remedy, "ALTER INDEX \"s\".\"by_email\" RENAME TO \"User_email_idx\"");
        assert!(found.names.contains(&"by_email".to_owned()) && found.names.contains(&"User".to_owned()));
    }
}
