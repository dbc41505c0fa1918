//! Columns as the manifest asks for them, and how PostgreSQL itself reads their types and defaults.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    CheckError, QueryContext, sql,
    trial::{self, Refusal},
};
use crate::{
    api::RequiredColumn,
    postgres::{query, query_as, search_path},
};

/// A column as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As PostgreSQL prints it under Sluice's search path.
    pub(crate) data_type: String,
    pub(crate) nullable: bool,
    /// As PostgreSQL prints it under Sluice's search path.
    pub(crate) default: Option<String>,
}

/// A requirement in PostgreSQL's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Normal {
    data_type: Option<String>,
    default: Option<String>,
    problem: Option<String>,
}

/// Every requirement in PostgreSQL's own words, by its place in the list.
pub(crate) type Normals = Vec<Normal>;

const SQL: &str = "\
    SELECT a.attrelid::int8, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), NOT \
    a.attnotnull, \
           CASE WHEN a.attidentity <> '' THEN 'GENERATED AS IDENTITY' \
             WHEN a.attgenerated <> '' THEN 'GENERATED ALWAYS AS (' || pg_catalog.pg_get_expr(d.adbin, \
             d.adrelid) || ')' \
             ELSE pg_catalog.pg_get_expr(d.adbin, d.adrelid) END \
    FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = \
    a.attnum \
    WHERE a.attrelid = ANY($1::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped \
      AND ($2::text[] IS NULL OR a.attname::text = ANY($2)) \
    ORDER BY a.attrelid, a.attnum";

/// The columns of tables, by the table's id; with names, only those columns.
pub(crate) async fn read(
    connection: &mut PgConnection,
    tables: &[i64],
    names: Option<Vec<String>>,
) -> Result<BTreeMap<i64, Vec<Column>>, CheckError> {
    let rows: Vec<(i64, String, String, bool, Option<String>)> =
        query_as(SQL).bind(tables).bind(names).fetch_all(connection).await.context("read the columns")?;
    let mut columns: BTreeMap<i64, Vec<Column>> = BTreeMap::new();
    for (table, name, data_type, nullable, default) in rows {
        columns.entry(table).or_default().push(Column { name, data_type, nullable, default });
    }
    Ok(columns)
}

/// Lets PostgreSQL read types and defaults, on an empty temporary table that is gone afterwards: all at once,
/// and one by one to find out which of them it cannot read.
pub(crate) async fn normalise(
    connection: &mut PgConnection,
    expected: &[&RequiredColumn],
    schemas: &[String],
) -> Result<Normals, CheckError> {
    if expected.iter().all(|column| column.data_type.is_none() && column.default.is_none()) {
        return Ok(expected.iter().map(|column| written(column)).collect());
    }
    if let Ok(normals) = attempt(connection, expected, schemas).await? {
        return Ok(normals);
    }
    let mut normals = Vec::new();
    for column in expected {
        normals.push(match attempt(connection, &[column], schemas).await? {
            Ok(mut one) => one.pop().unwrap_or_default(),
            // Without the right to temporary tables it is compared as it is written.
            Err(refusal) if refusal.code == "42501" => written(column),
            Err(refusal) => Normal { problem: Some(refusal.message), ..Normal::default() },
        });
    }
    Ok(normals)
}

fn written(column: &RequiredColumn) -> Normal {
    Normal { data_type: column.data_type.clone(), default: column.default.clone(), problem: None }
}

async fn attempt(
    connection: &mut PgConnection,
    expected: &[&RequiredColumn],
    schemas: &[String],
) -> Result<Result<Normals, Refusal>, CheckError> {
    trial::begin(connection).await?;
    let read = shape(connection, expected, schemas).await;
    trial::end(connection).await?;
    trial::answer(read, "let PostgreSQL read the columns that are required")
}

async fn shape(
    connection: &mut PgConnection,
    expected: &[&RequiredColumn],
    schemas: &[String],
) -> Result<Normals, sqlx::Error> {
    let path: Vec<_> = schemas.iter().map(|schema| sql::identifier(schema)).collect();
    query("SELECT pg_catalog.set_config('search_path', $1, true)")
        .bind(path.join(", "))
        .execute(&mut *connection)
        .await?;
    let column = |(at, expected): (usize, &&RequiredColumn)| {
        let data_type = expected.data_type.as_deref().unwrap_or("text");
        expected.default.as_ref().map_or_else(
            || format!("c{at} {data_type}"),
            |default| format!("c{at} {data_type} DEFAULT ({default})"),
        )
    };
    let columns: Vec<_> = expected.iter().enumerate().map(column).collect();
    // Prepared: one statement, whatever the texts say.
    query(AssertSqlSafe(format!("CREATE TEMPORARY TABLE sluice_columns ({})", columns.join(", "))))
        .execute(&mut *connection)
        .await?;
    query(concat!("SET LOCAL search_path = ", search_path!())).execute(&mut *connection).await?;
    let rows: Vec<(String, String, Option<String>)> = query_as(
        "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), \
            pg_catalog.pg_get_expr(d.adbin, d.adrelid) \
         FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND \
         d.adnum = a.attnum \
         WHERE a.attrelid = 'pg_temp.sluice_columns'::pg_catalog.regclass AND a.attnum > 0",
    )
    .fetch_all(connection)
    .await?;
    let normal = |(at, expected): (usize, &&RequiredColumn)| {
        let row = rows.iter().find(|(name, ..)| *name == format!("c{at}"));
        let printed = row.map(|(_, data_type, default)| (data_type.clone(), default.clone()));
        let (data_type, default) = printed.unwrap_or_default();
        Normal { data_type: expected.data_type.as_ref().map(|_| data_type), default, problem: None }
    };
    Ok(expected.iter().enumerate().map(normal).collect())
}

/// What is wrong with a column, in words that follow its name; the columns are those of its table.
pub(crate) fn judge(expected: &RequiredColumn, normal: &Normal, columns: &[Column]) -> Option<String> {
    let name = &expected.name;
    if let Some(problem) = &normal.problem {
        return Some(format!("{name} is required in a way that PostgreSQL cannot read: {problem}"));
    }
    let Some(column) = columns.iter().find(|column| column.name == *name) else {
        return Some(format!("{name} is missing"));
    };
    let wrong_type = normal.data_type.as_ref().filter(|desired| **desired != column.data_type);
    if let Some(desired) = wrong_type {
        return Some(format!("{name} has the type {} and not {desired}", column.data_type));
    }
    if expected.nullable.is_some_and(|nullable| nullable != column.nullable) {
        return Some(format!("{name} {}", if column.nullable { "may be NULL" } else { "is NOT NULL" }));
    }
    match (&normal.default, &column.default, expected.has_default) {
        (Some(desired), Some(default), _) if desired != default => {
            Some(format!("{name} has the default {default} and not {desired}"))
        }
        (Some(desired), None, _) => Some(format!("{name} has no default and not {desired}")),
        (None, None, Some(true)) => Some(format!("{name} has no default")),
        (None, Some(default), Some(false)) => Some(format!("{name} has the default {default}")),
        _ => None,
    }
}

/// As it stands in a statement that adds it.
pub(crate) fn sql_of(expected: &RequiredColumn) -> String {
    let data_type = expected.data_type.as_deref().unwrap_or("…");
    let default = expected.default.as_ref().map_or(String::new(), |default| format!(" DEFAULT {default}"));
    let null = if expected.nullable == Some(false) { " NOT NULL" } else { "" };
    format!("{} {data_type}{default}{null}", sql::identifier(&expected.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> RequiredColumn {
        let (name, data_type) = ("createdAt".to_owned(), Some("timestamptz".to_owned()));
        RequiredColumn {
            name,
            data_type,
            nullable: Some(false),
            default: Some("now()".into()),
            has_default: None,
        }
    }

    fn complaint(expected: &RequiredColumn, column: Column) -> Option<String> {
        let normal = Normal {
            data_type: expected.data_type.as_ref().map(|_| "timestamp with time zone".to_owned()),
            default: expected.default.clone(),
            problem: None,
        };
        judge(expected, &normal, &[column])
    }

    fn column() -> Column {
        let (name, data_type) = ("createdAt".to_owned(), "timestamp with time zone".to_owned());
        Column { name, data_type, nullable: false, default: Some("now()".into()) }
    }

    #[test]
    fn each_property_counts_where_it_is_written() {
        assert_eq!(complaint(&expected(), column()), None);
        for (column, part) in [
            (Column { name: "createdat".into(), ..column() }, "is missing"),
            (
                Column { data_type: "date".into(), ..column() },
                "has the type date and not timestamp with time zone",
            ),
            (Column { nullable: true, ..column() }, "may be NULL"),
            (Column { default: None, ..column() }, "has no default and not now()"),
            (
                Column { default: Some("'x'::text".into()), ..column() },
                "has the default 'x'::text and not now()",
            ),
        ] {
            assert_eq!(complaint(&expected(), column), Some(format!("createdAt {part}")));
        }
        let anything = RequiredColumn { data_type: None, nullable: None, default: None, ..expected() };
        assert_eq!(
            complaint(
                &anything,
                Column { data_type: "date".into(), nullable: true, default: None, ..column() }
            ),
            None
        );
        assert!(
            complaint(&RequiredColumn { has_default: Some(false), ..anything.clone() }, column()).is_some()
        );
        assert!(
            complaint(
                &RequiredColumn { has_default: Some(true), ..anything },
                Column { default: None, ..column() }
            )
            .is_some()
        );
    }
}
