//! The tables that the manifest names are there, with the columns that it names.

use sqlx::PgConnection;

use crate::{
    api::{Finding, RequiredTable, Severity},
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
    id: "table-required",
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
    asks: |scope| !scope.demands.tables.require.is_empty(),
    look: |connection, scope| Box::pin(look(connection, scope)),
};

async fn look(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let required = &scope.demands.tables.require;
    if required.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = required.iter().map(|asked| asked.name.clone()).collect();
    let relations = relation::find(connection, &names, &scope.schemas).await?;
    let ids: Vec<i64> = relations.iter().map(|relation| relation.id).collect();
    let asked: Vec<_> = required.iter().flat_map(|table| &table.columns).collect();
    let mut normals = column::normalise(connection, &asked, &scope.schemas).await?.into_iter();
    let columns = column::read(connection, &ids, None).await?;
    let mut found = Vec::new();
    for asked in required {
        let normals: Vec<_> = normals.by_ref().take(asked.columns.len()).collect();
        match relation::resolve(&relations, &asked.name, &scope.schemas) {
            None => found.push(relation::missing(&META, &asked.name, FIELD, scope)),
            Some(table) => {
                found.extend(judge(
                    asked,
                    table,
                    &normals,
                    columns.get(&table.id).map_or(&[], Vec::as_slice),
                ));
            }
        }
    }
    Ok(found)
}

fn judge(asked: &RequiredTable, table: &Relation, normals: &[Normal], columns: &[Column]) -> Option<Finding> {
    let wrong: Vec<_> = asked
        .columns
        .iter()
        .zip(normals)
        .filter_map(|(asked, normal)| column::judge(asked, normal, columns))
        .collect();
    if wrong.is_empty() {
        return None;
    }
    let missing: Vec<_> =
        asked.columns.iter().filter(|asked| columns.iter().all(|column| column.name != asked.name)).collect();
    let remedy = if missing.len() == wrong.len() {
        let adds: Vec<_> =
            missing.iter().map(|asked| format!("ADD COLUMN {}", column::sql_of(asked))).collect();
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
        let asked = RequiredTable { name: "patients".into(), columns: vec![column] };
        let table = Relation { id: 1, schema: "s".into(), name: "patients".into() };
        let finding = judge(&asked, &table, &[Normal::default()], &[]).expect("a finding");
        assert_eq!(finding.message, "not the columns that are required: bornOn is missing");
        assert_eq!(finding.remedy, "ALTER TABLE \"s\".\"patients\" ADD COLUMN \"bornOn\" date NOT NULL");
    }
}
