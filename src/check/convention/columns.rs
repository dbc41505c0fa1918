//! Columns are named in the style of the manifest.

use sqlx::PgConnection;

use super::{
    super::{Check, enabled},
    CheckError, Deviation, Meta, QueryContext, by_exemption, naming, owned, query_as, report, sql,
};
use crate::{
    api::{CheckId, Conventions, Finding, Severity, Style},
    inspect::{Aspect, Scope},
};

const META: Meta = Meta {
    id: CheckId::ConventionColumns,
    title: "Every column is named in the style of the manifest",
    condition: "`spec.verify.conventions.columns` names a style, and a column of a table in \
        `spec.database.schemas` is named in another. What \
                `except` names, a table or one `table.column`, is told as information.",
    effect: "People and tools that rely on the convention do not find the column, or need quotes for its \
        name.",
    remedy: "Rename it in a migration (expand and contract where the application is running), or name it in \
        `spec.verify.conventions.except`.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(in super::super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| enabled::by_conventions(scope, |names| names.columns.is_some()),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = owned::tables!(
    "SELECT own.schema, own.name, pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) \
     FROM own JOIN pg_catalog.pg_attribute a ON a.attrelid = own.oid AND a.attnum > 0 AND NOT a.attisdropped \
     GROUP BY 1, 2 ORDER BY 1, 2"
);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some((conventions, style)) =
        scope.assertions.conventions.as_ref().and_then(|all| Some((all, all.columns?)))
    else {
        return Ok(Vec::new());
    };
    let rows: Vec<(String, String, Vec<String>)> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read the names of the columns")?;
    let deviations =
        rows.iter().flat_map(|(schema, table, columns)| judge(conventions, schema, table, columns, style));
    Ok(report(&META, conventions, deviations))
}

fn judge(
    conventions: &Conventions,
    schema: &str,
    table: &str,
    columns: &[String],
    style: Style,
) -> Vec<Deviation> {
    let wrong = columns
        .iter()
        .filter(|column| !naming::has_style(column, style))
        .map(|column| (column.as_str(), column.clone()));
    let deviation = |(names, columns): (Vec<String>, Vec<String>)| Deviation {
        names,
        object: format!("{schema}.{table}"),
        message: format!("not {}: {}", naming::name_of(style), sql::few(&columns, 10)),
        remedy: META.remedy.to_owned(),
    };
    by_exemption(conventions, schema, table, wrong).into_iter().map(deviation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_table_are_told_together() {
        let conventions = serde_json::from_value(serde_json::json!({})).expect("conventions");
        let columns = ["id", "created_at", "UserId", "lastName"].map(str::to_owned);
        let found = judge(&conventions, "s", "t", &columns, Style::CamelCase);
        assert_eq!(
            found.iter().map(|deviation| deviation.message.as_str()).collect::<Vec<_>>(),
            ["not camelCase: created_at and UserId"]
        );
    }
}
