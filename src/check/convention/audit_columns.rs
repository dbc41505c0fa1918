//! Every table has the columns that the manifest requires of every table.

use sqlx::PgConnection;

use super::{
    super::{Check, enabled},
    CheckError, Deviation, Meta, QueryContext, by_exemption, owned, query_as, report, sql,
};
use crate::{
    api::{CheckId, Conventions, Finding, Severity},
    inspect::{
        Aspect, Scope,
        column::{self, Column, Normal},
    },
};

const META: Meta = Meta {
    id: CheckId::ConventionAuditColumns,
    title: "Every table has the columns that the manifest requires of every table",
    condition: "`spec.verify.conventions.auditColumns` names columns, and a table of `spec.database.schemas` \
        lacks one, or has it with another type, \
                nullability or default than the one that is written. What `except` names, a table or one \
                `table.column`, is told as \
                information.",
    effect: "The rows of this table do not say when or by whom they were written.",
    remedy: "Add the column in a migration, or name the table or `table.column` in \
        `spec.verify.conventions.except`.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(in super::super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| enabled::by_conventions(scope, |names| !names.audit_columns.is_empty()),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = owned::tables!("SELECT oid::int8, schema, name FROM own ORDER BY 2, 3");

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(conventions) = scope.assertions.conventions.as_ref().filter(|all| !all.audit_columns.is_empty())
    else {
        return Ok(Vec::new());
    };
    let expected: Vec<_> = conventions.audit_columns.iter().collect();
    let normals = column::normalise(connection, &expected, &scope.schemas).await?;
    let tables: Vec<(i64, String, String)> =
        query_as(SQL).bind(&scope.schemas).fetch_all(&mut *connection).await.context("read the tables")?;
    let ids: Vec<i64> = tables.iter().map(|(id, ..)| *id).collect();
    let names = expected.iter().map(|column| column.name.clone()).collect();
    let columns = column::read(connection, &ids, Some(names)).await?;
    let deviations = tables.iter().flat_map(|(id, schema, name)| {
        judge(conventions, &normals, schema, name, columns.get(id).map_or(&[], Vec::as_slice))
    });
    Ok(report(&META, conventions, deviations))
}

fn judge(
    conventions: &Conventions,
    normals: &[Normal],
    schema: &str,
    table: &str,
    columns: &[Column],
) -> Vec<Deviation> {
    let expected = conventions.audit_columns.iter().zip(normals);
    let wrong = expected.filter_map(|(expected, normal)| {
        Some((expected.name.as_str(), column::judge(expected, normal, columns)?))
    });
    let deviation = |(names, wrong): (Vec<String>, Vec<String>)| Deviation {
        names,
        object: format!("{schema}.{table}"),
        message: format!("not the columns of every table: {}", sql::few(&wrong, 5)),
        remedy: META.remedy.to_owned(),
    };
    by_exemption(conventions, schema, table, wrong).into_iter().map(deviation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_a_table_may_lack_is_told_apart_from_one_that_it_must_have() {
        let conventions = serde_json::json!({"auditColumns": [{"name": "createdAt"}, {"name": "updatedAt"}], "except": ["vitals.updatedAt"]});
        let conventions: Conventions = serde_json::from_value(conventions).expect("conventions");
        let found = judge(&conventions, &[Normal::default(), Normal::default()], "s", "vitals", &[]);
        let findings = report(&META, &conventions, found.into_iter());
        assert_eq!((findings[0].severity, findings[1].severity), (Severity::Error, Severity::Information));
        assert!(
            findings[0].message.ends_with("createdAt is missing")
                && findings[1].message.ends_with("updatedAt is missing")
        );
    }
}
