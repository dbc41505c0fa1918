//! The key along which the rows of a table are divided into batches: an index says that each row has one, and
//! that no two rows share it.
//!
//! A value of a key may be about a person. It travels as a parameter, in PostgreSQL's own text of its type,
//! and stands in no statement.

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{QueryContext, QueryError, query_as, query_scalar};

/// The key of one table.
#[derive(Clone, Debug)]
pub struct TableKey {
    /// The table with its schema, in quotes.
    pub table: String,
    /// About how many rows the table has; none where PostgreSQL has not counted yet.
    pub rows: Option<u64>,
    columns: Vec<Column>,
}

/// One column of a key.
#[derive(Clone, Debug, FromRow)]
struct Column {
    /// In quotes.
    name: String,
    /// With its schema, in quotes.
    type_name: String,
    /// The schema of the operators by which the index is sorted, in quotes.
    operators: String,
}

/// What PostgreSQL knows of a table.
#[derive(FromRow)]
struct Table {
    name: String,
    kind: String,
    has_children: bool,
    rows: i64,
}

/// A unique index.
#[derive(FromRow)]
struct Index {
    id: i64,
    columns: Vec<String>,
    usable: bool,
}

const TABLE: &str = "\
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relkind::text AS kind, \
      EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS has_children, \
      COALESCE((SELECT pg_catalog.sum(l.reltuples) FROM pg_catalog.pg_partition_tree(c.oid) t \
        JOIN pg_catalog.pg_class l ON l.oid = t.relid \
        WHERE t.isleaf AND l.reltuples >= 0), c.reltuples)::int8 AS rows \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.oid = $1::int8::oid";

/// A batch begins behind the last key of the one before, so each row must have a key of its own at any
/// moment, and the index must be sorted as the type is compared.
const INDEXES: &str = "\
    SELECT i.indexrelid::int8 AS id, \
      ARRAY(SELECT COALESCE(a.attname::text, '(expression)') \
        FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n) \
        LEFT JOIN pg_catalog.pg_attribute a \
          ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 \
        WHERE k.n <= i.indnkeyatts ORDER BY k.n) AS columns, \
      i.indisvalid AND i.indisready AND i.indislive AND i.indimmediate AND i.indpred IS NULL \
        AND i.indexprs IS NULL AND m.amname = 'btree' AND NOT EXISTS (SELECT \
          FROM ROWS FROM (pg_catalog.unnest(i.indkey::int2[]), pg_catalog.unnest(i.indclass::oid[]), \
            pg_catalog.unnest(i.indoption::int2[]), pg_catalog.unnest(i.indcollation::oid[])) \
            WITH ORDINALITY k(attnum, class, option, collation_, n) \
          LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
          LEFT JOIN pg_catalog.pg_opclass o ON o.oid = k.class \
          WHERE k.n <= i.indnkeyatts AND (NOT a.attnotnull OR NOT o.opcdefault OR k.option & 1 = 1 \
            OR k.collation_ <> a.attcollation) IS NOT FALSE) AS usable \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    JOIN pg_catalog.pg_am m ON m.oid = c.relam \
    WHERE i.indrelid = $1::int8::oid AND i.indisunique ORDER BY i.indisprimary DESC, c.relname";

/// Strategy 5 of a B-tree is "greater than".
const COLUMNS: &str = "\
    SELECT pg_catalog.quote_ident(a.attname) AS name, \
      pg_catalog.format('%I.%I', tn.nspname, t.typname) AS type_name, \
      pg_catalog.quote_ident(on_.nspname) AS operators \
    FROM pg_catalog.pg_index i, ROWS FROM (pg_catalog.unnest(i.indkey::int2[]), \
      pg_catalog.unnest(i.indclass::oid[])) WITH ORDINALITY k(attnum, class, n) \
    JOIN pg_catalog.pg_attribute a ON a.attnum = k.attnum \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace \
    JOIN pg_catalog.pg_opclass c ON c.oid = k.class \
    JOIN pg_catalog.pg_amop s ON s.amopfamily = c.opcfamily AND s.amoplefttype = c.opcintype \
      AND s.amoprighttype = c.opcintype AND s.amopstrategy = 5 \
    JOIN pg_catalog.pg_operator o ON o.oid = s.amopopr AND o.oprname = '>' \
    JOIN pg_catalog.pg_namespace on_ ON on_.oid = o.oprnamespace \
    WHERE i.indexrelid = $1::int8::oid AND a.attrelid = i.indrelid AND k.n <= i.indnkeyatts \
    ORDER BY k.n";

impl TableKey {
    /// The key of these columns of a table; an error for people where they are none.
    pub async fn find(
        connection: &mut PgConnection,
        table: i64,
        key: &[String],
    ) -> Result<Result<Self, String>, QueryError> {
        let found: Option<Table> =
            query_as(TABLE).bind(table).fetch_optional(&mut *connection).await.context("read the table")?;
        let Some(found) = found else { return Ok(Err("the table was dropped just now".to_owned())) };
        if let Some(problem) = found.problem() {
            return Ok(Err(problem));
        }
        let indexes: Vec<Index> = query_as(INDEXES)
            .bind(table)
            .fetch_all(&mut *connection)
            .await
            .context("read the unique indexes of the table")?;
        let Some(index) = indexes.iter().find(|index| index.usable && index.columns == key) else {
            return Ok(Err(no_key(&found.name, key, &indexes)));
        };
        let columns: Vec<Column> = query_as(COLUMNS)
            .bind(index.id)
            .fetch_all(connection)
            .await
            .context("read the columns of the key")?;
        if columns.len() != key.len() || columns.iter().any(|column| column.operators != columns[0].operators)
        {
            return Ok(Err(format!(
                "the columns ({}) of {} are not compared by operators that stand in one schema: use another \
                    key",
                key.join(", "),
                found.name
            )));
        }
        Ok(Ok(Self { table: found.name, rows: u64::try_from(found.rows).ok(), columns }))
    }

    /// The largest key; none where the table is empty.
    pub async fn last(&self, connection: &mut PgConnection) -> Result<Option<Vec<String>>, QueryError> {
        let text = format!(
            "SELECT {} FROM {} AS t ORDER BY {} LIMIT 1",
            self.values("t"),
            self.table,
            self.columns(" DESC")
        );
        query_scalar(AssertSqlSafe(text))
            .fetch_optional(connection)
            .await
            .context("read the last key of the table")
    }

    /// The last key of a batch of so many rows behind this key, and up to `bound`; the bound where there are
    /// fewer.
    pub async fn end_of_batch(
        &self,
        connection: &mut PgConnection,
        after: Option<&[String]>,
        bound: &[String],
        rows: u32,
    ) -> Result<Option<Vec<String>>, QueryError> {
        // Of the rows that are passed over no text is made.
        let text = format!(
            "SELECT {} FROM (SELECT {} FROM {} AS t WHERE {} ORDER BY {1} LIMIT 1 OFFSET {}) AS last",
            self.values("last"),
            self.columns(""),
            self.table,
            self.range("t", after.is_some()),
            rows.saturating_sub(1)
        );
        let mut query = query_scalar(AssertSqlSafe(text));
        for value in bound.iter().chain(after.unwrap_or_default()) {
            query = query.bind(value.clone());
        }
        query.fetch_optional(connection).await.context("read the last key of a batch")
    }

    /// The condition of a range: up to the key in the first parameters and, `after` one, behind the key in
    /// those that follow. `called` is what the statement calls the table.
    pub fn range(&self, called: &str, after: bool) -> String {
        let named: Vec<String> =
            self.columns.iter().map(|column| format!("{called}.{}", column.name)).collect();
        let named = row(&named);
        let compare = |operator: &str, first: usize| {
            let parameter = |(at, column): (usize, &Column)| {
                format!("${}::pg_catalog.text::{}", first + at, column.type_name)
            };
            let parameters: Vec<String> = self.columns.iter().enumerate().map(parameter).collect();
            format!("{named} OPERATOR({}.{operator}) {}", self.columns[0].operators, row(&parameters))
        };
        let up_to = compare("<=", 1);
        if after { format!("{up_to} AND {}", compare(">", 1 + self.columns.len())) } else { up_to }
    }

    /// The key of a row as an array of texts.
    pub fn values(&self, called: &str) -> String {
        let each: Vec<String> =
            self.columns.iter().map(|column| format!("{called}.{}::pg_catalog.text", column.name)).collect();
        format!("ARRAY[{}]", each.join(", "))
    }

    /// Whether a row of this name has this key.
    pub fn is(&self, called: &str, values: &[String]) -> String {
        let operators = &self.columns[0].operators;
        let same = |(column, value): (&Column, &String)| {
            format!("{called}.{} OPERATOR({operators}.=) {value}", column.name)
        };
        let each: Vec<String> = self.columns.iter().zip(values).map(same).collect();
        each.join(" AND ")
    }

    /// Its columns, as they are written in SQL.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// In their order, each with this behind it.
    fn columns(&self, behind: &str) -> String {
        let each: Vec<String> =
            self.columns.iter().map(|column| format!("t.{}{behind}", column.name)).collect();
        each.join(", ")
    }
}

/// One value as it is, several as a row.
fn row(values: &[String]) -> String {
    if let [one] = values { one.clone() } else { format!("({})", values.join(", ")) }
}

impl Table {
    /// Why its rows cannot be divided by a key of its own.
    fn problem(&self) -> Option<String> {
        let name = &self.name;
        match self.kind.as_str() {
            "r" if self.has_children => Some(format!(
                "other tables inherit from {name}, and no key of {name} is about their rows: change each of \
                    these tables by a statement of its own, or run the statement whole"
            )),
            "r" | "p" => None,
            _ => Some(format!("{name} is no table, so it has no key: name the table itself")),
        }
    }
}

/// What is said where the columns are no key. PURE.
fn no_key(table: &str, key: &[String], indexes: &[Index]) -> String {
    let key = key.join(", ");
    let of = |usable: bool| {
        let found = indexes.iter().filter(|index| index.usable == usable);
        found.map(|index| format!("({})", index.columns.join(", "))).collect::<Vec<_>>()
    };
    let (usable, other) = (of(true), of(false));
    let mut told = format!(
        "({key}) is neither the primary key of {table} nor a unique index over NOT NULL columns in this \
            order, ascending and without a condition"
    );
    if !other.is_empty() {
        told += &format!(
            "; {} may be NULL, or is sorted otherwise, partial, deferred or not valid",
            other.join(", ")
        );
    }
    if usable.is_empty() {
        told + "; the table has none that can be used: create one with CREATE UNIQUE INDEX CONCURRENTLY"
    } else {
        format!("{told}; write key= with the columns of {}", usable.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(columns: &[(&str, &str)]) -> TableKey {
        let column = |(name, type_name): &(&str, &str)| Column {
            name: (*name).to_owned(),
            type_name: (*type_name).to_owned(),
            operators: "pg_catalog".to_owned(),
        };
        TableKey { table: "public.t".to_owned(), rows: None, columns: columns.iter().map(column).collect() }
    }

    #[test]
    fn a_range_compares_the_key_with_parameters_by_the_operators_of_its_index() {
        let one = key(&[("id", "pg_catalog.uuid")]);
        assert_eq!(
            one.range("\"t\"", true),
            "\"t\".id OPERATOR(pg_catalog.<=) $1::pg_catalog.text::pg_catalog.uuid AND \
             \"t\".id OPERATOR(pg_catalog.>) $2::pg_catalog.text::pg_catalog.uuid"
        );
        let two = key(&[("clinic", "pg_catalog.int4"), ("\"Id\"", "pg_catalog.int8")]);
        assert_eq!(
            two.range("x", false),
            "(x.clinic, x.\"Id\") OPERATOR(pg_catalog.<=) ($1::pg_catalog.text::pg_catalog.int4, \
             $2::pg_catalog.text::pg_catalog.int8)"
        );
    }

    #[test]
    fn columns_that_are_no_key_are_named_with_the_keys_that_there_are() {
        let index = |columns: &[&str], usable| Index {
            id: 0,
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            usable,
        };
        let email = ["email".to_owned()];
        let told = no_key("public.t", &email, &[index(&["clinic", "id"], true), index(&["email"], false)]);
        assert!(told.starts_with("(email) is neither the primary key of public.t"), "{told}");
        assert!(
            told.contains("; (email) may be NULL") && told.ends_with("the columns of (clinic, id)"),
            "{told}"
        );
        assert!(no_key("public.t", &email, &[]).ends_with("CREATE UNIQUE INDEX CONCURRENTLY"));
    }
}
