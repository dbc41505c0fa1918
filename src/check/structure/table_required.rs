//! The tables that the manifest names are there, with the columns that it names.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, RequiredTable, Severity},
    check::Check,
    inspect::{
        Aspect, CheckError, Meta, Scope,
        column::{self, Column, Normal},
        relation::{self, Relation},
        sql,
    },
};

const FIELD: &str = "spec.verify.tables.require";

const META: Meta = Meta {
    id: CheckId::TableRequired,
    title: "Every table that the manifest requires exists and has its columns",
    condition: "`spec.verify.tables.require` names a table that does not exist, or a column that the table \
        lacks or that has another type, \
                nullability or default than the one that is written. Types and defaults are compared as \
                PostgreSQL prints them, so \
                `varchar(40)` and `character varying(40)` are the same.",
    effect: "The application finds another schema than the one it was written for.",
    remedy: "Create or change the table in a migration, or correct the manifest. The finding says what is \
        there instead.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| !scope.assertions.tables.require.is_empty(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let required = &scope.assertions.tables.require;
    if required.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = required.iter().map(|expected| expected.name.clone()).collect();
    let relations = relation::find(connection, &names, &scope.schemas).await?;
    let ids: Vec<i64> = relations.iter().map(|relation| relation.id).collect();
    let expected: Vec<_> = required.iter().flat_map(|table| &table.columns).collect();
    let mut normals = column::normalise(connection, &expected, &scope.schemas).await?.into_iter();
    let columns = column::read(connection, &ids, None).await?;
    let mut found = Vec::new();
    for expected in required {
        let normals: Vec<_> = normals.by_ref().take(expected.columns.len()).collect();
        match relation::resolve(&relations, &expected.name, &scope.schemas) {
            None => found.push(relation::missing(&META, &expected.name, FIELD, scope)),
            Some(table) => {
                found.extend(judge(
                    expected,
                    table,
                    &normals,
                    columns.get(&table.id).map_or(&[], Vec::as_slice),
                ));
            }
        }
    }
    Ok(found)
}

fn judge(
    expected: &RequiredTable,
    table: &Relation,
    normals: &[Normal],
    columns: &[Column],
) -> Option<Finding> {
    let wrong: Vec<_> = expected
        .columns
        .iter()
        .zip(normals)
        .filter_map(|(expected, normal)| column::judge(expected, normal, columns))
        .collect();
    if wrong.is_empty() {
        return None;
    }
    let missing: Vec<_> = expected
        .columns
        .iter()
        .filter(|expected| columns.iter().all(|column| column.name != expected.name))
        .collect();
    let remedy = if missing.len() == wrong.len() {
        let adds: Vec<_> =
            missing.iter().map(|expected| format!("ADD COLUMN {}", column::sql_of(expected))).collect();
        format!("ALTER TABLE {} {}", table.sql(), adds.join(", "))
    } else {
        format!("change the columns in a migration, or correct {FIELD}")
    };
    Some(META.finding(
        table.display(),
        format!("not the columns that are required: {}", sql::few(&wrong, 5)),
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RequiredColumn;

    #[test]
    fn what_is_missing_is_told_with_the_statement_that_adds_it() {
        let column = RequiredColumn {
            name: "bornOn".into(),
            data_type: Some("date".into()),
            nullable: Some(false),
            default: None,
            has_default: None,
        };
        let expected = RequiredTable { name: "patients".into(), columns: vec![column] };
        let table = Relation { id: 1, schema: "s".into(), name: "patients".into() };
        let finding = judge(&expected, &table, &[Normal::default()], &[]).expect("a finding");
        assert_eq!(finding.message, "not the columns that are required: bornOn is missing");
        assert_eq!(finding.remedy, "ALTER TABLE \"s\".\"patients\" ADD COLUMN \"bornOn\" date NOT NULL");
    }
}
