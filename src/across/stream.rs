//! The keys of one table in the order of their values, a batch at a time, read through a cursor: neither side
//! ever holds the table.

use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};

use super::merge::{Key, Part};
use crate::{
    inspect::{
        CheckError, QueryContext,
        relation::Relation,
        sql,
        trial::{self, GRANTED, Refusal},
    },
    postgres::{query, query_as},
};

/// How many keys are read at once.
const BATCH: u32 = 2000;
/// Longer texts are compared by a digest, so that a batch has a size.
const LONGEST: u32 = 200;

/// How a column is sorted, so that both databases sort it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Whole numbers; an index on the column serves.
    Number,
    /// Sorted by bytes as it is; an index on the column serves.
    Uuid,
    /// As text, by its bytes.
    Text,
}

impl Order {
    /// From the types of both columns. PURE.
    pub(crate) fn of(one: &str, other: &str) -> Self {
        let whole = |name: &str| matches!(name, "int2" | "int4" | "int8");
        match (one, other) {
            (one, other) if whole(one) && whole(other) => Self::Number,
            ("uuid", "uuid") => Self::Uuid,
            _ => Self::Text,
        }
    }

    fn value(self, column: &str) -> String {
        match self {
            Self::Number | Self::Uuid => format!("{column}::text"),
            Self::Text => format!(
                "CASE WHEN pg_catalog.octet_length({column}::text) <= {LONGEST} THEN {column}::text ELSE \
                    pg_catalog.left({column}::text, 40) || \
                 pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to({column}::text, 'UTF8')), 'hex') \
                 END"
            ),
        }
    }

    fn sorted(self, column: &str) -> String {
        match self {
            Self::Number | Self::Uuid => column.to_owned(),
            Self::Text => format!("({}) COLLATE \"C\"", self.value(column)),
        }
    }

    fn part(self, text: &str) -> Part {
        match self {
            Self::Number => text.parse().map_or_else(|_| Part::Text(text.to_owned()), Part::Number),
            Self::Uuid | Self::Text => Part::Text(text.to_owned()),
        }
    }
}

/// The names of the columns' types, in their order; a domain counts as what is under it. The first column
/// that is not there is an error.
pub(crate) async fn types(
    connection: &mut PgConnection,
    table: &Relation,
    columns: &[String],
) -> Result<Result<Vec<String>, String>, CheckError> {
    let text = "SELECT a.attname::text, COALESCE(b.typname, t.typname)::text FROM pg_catalog.pg_attribute a \
                JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_type b ON t.typtype \
                = 'd' AND b.oid = t.typbasetype \
                WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped";
    let found: Vec<(String, String)> = query_as(text)
        .bind(table.id)
        .fetch_all(connection)
        .await
        .context("read the types of the columns of a relation")?;
    let of = |column: &String| {
        let known = found.iter().find(|(name, _)| name == column).map(|(_, name)| name.clone());
        known.ok_or_else(|| format!("{} has no column {column:?}", table.display()))
    };
    Ok(columns.iter().map(of).collect())
}

/// A stream of keys that is open on a connection until the try is ended.
pub(crate) struct Stream<'c> {
    connection: &'c mut PgConnection,
    orders: Vec<Order>,
}

/// What is printed alike everywhere, whatever the role's defaults.
const PRINTED: &str = "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle \
    = 'postgres'; \
                       SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1";

impl<'c> Stream<'c> {
    /// Opens the stream. What it shows is what was committed by then.
    pub(crate) async fn open(
        connection: &'c mut PgConnection,
        table: &Relation,
        columns: &[String],
        orders: &[Order],
    ) -> Result<Result<Self, Refusal>, CheckError> {
        trial::begin_reading(connection, GRANTED).await?;
        let text = format!(
            "{PRINTED}; DECLARE sluice_keys NO SCROLL CURSOR FOR {}",
            statement(table, columns, orders)
        );
        let opened = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await;
        let opened = trial::answer(opened, "open the keys of a relation")?;
        Ok(opened.map(|_| Self { connection, orders: orders.to_vec() }))
    }

    /// The next keys; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Result<Vec<Key>, Refusal>, CheckError> {
        let text = format!("FETCH {BATCH} FROM sluice_keys");
        let rows = query(AssertSqlSafe(text)).fetch_all(&mut *self.connection).await;
        match trial::answer(rows, "read the keys of a relation")? {
            Ok(rows) => rows
                .iter()
                .map(|row| self.key(row))
                .collect::<Result<_, _>>()
                .map(Ok)
                .context("read a key of a relation"),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    fn key(&self, row: &PgRow) -> Result<Key, sqlx::Error> {
        self.orders.iter().enumerate().map(|(at, order)| Ok(order.part(row.try_get(at)?))).collect()
    }
}

/// The keys without NULL, sorted.
fn statement(table: &Relation, columns: &[String], orders: &[Order]) -> String {
    let columns: Vec<_> = columns.iter().map(|column| format!("k.{}", sql::identifier(column))).collect();
    let each = |text: fn(Order, &str) -> String| -> Vec<String> {
        orders.iter().zip(&columns).map(|(order, column)| text(*order, column)).collect()
    };
    let there: Vec<_> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    format!(
        "SELECT {} FROM {} k WHERE {} ORDER BY {}",
        each(Order::value).join(", "),
        table.sql(),
        there.join(" AND "),
        each(Order::sorted).join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_sorted_as_what_both_sides_are() {
        assert_eq!(Order::of("int2", "int8"), Order::Number);
        assert_eq!(Order::of("uuid", "uuid"), Order::Uuid);
        for (one, other) in [("uuid", "text"), ("int4", "numeric"), ("varchar", "text")] {
            assert_eq!(Order::of(one, other), Order::Text);
        }
        assert_eq!(Order::Number.part("12"), Part::Number(12));
    }
}
