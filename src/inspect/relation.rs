//! Tables as the manifest names them: `table` in one of its schemas, or `schema.table`.

use sqlx::PgConnection;

use super::{CheckError, Meta, QueryContext, Scope, sql};
use crate::{api::Finding, postgres::query_as};

/// A table, with or without partitions, or a materialized view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) id: i64,
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl Relation {
    /// `schema.table`.
    pub(crate) fn display(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// As it stands in a statement.
    pub(crate) fn sql(&self) -> String {
        sql::qualified(&self.schema, &self.name)
    }
}

const SQL: &str = "\
    SELECT c.oid::int8, n.nspname::text, c.relname::text \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'm') \
      AND ((c.relname::text = ANY($1) AND n.nspname = ANY($2)) OR n.nspname || '.' || c.relname = ANY($1)) \
    ORDER BY 2, 3";

/// The tables that bear one of the names.
pub(crate) async fn find(
    connection: &mut PgConnection,
    names: &[String],
    schemas: &[String],
) -> Result<Vec<Relation>, CheckError> {
    let rows: Vec<(i64, String, String)> = query_as(SQL)
        .bind(names)
        .bind(schemas)
        .fetch_all(connection)
        .await
        .context("read which tables exist")?;
    Ok(rows.into_iter().map(|(id, schema, name)| Relation { id, schema, name }).collect())
}

/// The table of that name: in the first schema of the manifest that has it, or with its schema in front.
pub(crate) fn resolve<'a>(relations: &'a [Relation], name: &str, schemas: &[String]) -> Option<&'a Relation> {
    let in_schema = |schema: &String| {
        relations.iter().find(|relation| relation.schema == *schema && relation.name == name)
    };
    schemas
        .iter()
        .find_map(in_schema)
        .or_else(|| relations.iter().find(|relation| relation.display() == name))
}

/// That a table which the manifest names is not there.
pub(crate) fn missing(meta: &Meta, name: &str, field: &str, scope: &Scope) -> Finding {
    let message = format!(
        "{field} names the table {name:?}, and there is no such table in {}",
        sql::list(&scope.schemas)
    );
    meta.finding(
        name,
        message,
        format!("correct {field}; names are case-sensitive, and another schema is written schema.table"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(schema: &str, name: &str) -> Relation {
        Relation { id: 1, schema: schema.into(), name: name.into() }
    }

    #[test]
    fn the_first_schema_of_the_manifest_wins_and_a_schema_in_front_decides() {
        let relations =
            [relation("archive", "visit"), relation("core", "visit"), relation("public", "visit")];
        let schemas = ["public".to_owned(), "core".to_owned()];
        assert_eq!(
            resolve(&relations, "visit", &schemas).map(Relation::display).as_deref(),
            Some("public.visit")
        );
        assert_eq!(
            resolve(&relations, "archive.visit", &schemas).map(Relation::display).as_deref(),
            Some("archive.visit")
        );
        assert_eq!(resolve(&relations, "Visit", &schemas), None);
    }
}
