//! Every foreign key has an index.

use sqlx::PgConnection;

use super::{Asked, Aspect, Check, CheckError, Meta, Scope, sql};
use crate::{
    api::{Finding, Severity},
    postgres::query_as,
};

const META: Meta = Meta {
    id: "foreign-key-indexed",
    title: "Every foreign key's columns lead a valid index",
    condition: "`spec.verify.indexes.foreignKeys` is true (the default), and a foreign key of a table in `spec.database.schemas` has no valid index, \
                without a predicate, whose first columns are the key's columns in any order.",
    effect: "Each DELETE of a referenced row, and each UPDATE of its key, reads the whole referencing table while it holds locks; and joins along \
             the key do the same.",
    remedy: "`CREATE INDEX CONCURRENTLY` on the key's columns in a migration, or set `spec.verify.indexes.foreignKeys` to false.",
    severity: Severity::Error,
    aspect: Aspect::Index,
};

pub(super) const CHECK: Check =
    Check { meta: &META, asks: |scope| scope.indexes.foreign_keys, look: |connection, scope| Box::pin(look(connection, scope)) };

/// A partition's copy of its table's foreign key is left out: the table's index has a part on every partition.
const SQL: &str = "\
    SELECT n.nspname::text, t.relname::text, k.conname::text, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY c(number, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number ORDER BY c.place), \
           ARRAY(SELECT x.relname::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
             WHERE i.indrelid = k.conrelid AND (NOT i.indisvalid OR i.indpred IS NOT NULL) AND i.indkey[0] = ANY(k.conkey) ORDER BY 1) \
    FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = ANY($1) \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i \
        JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname IN ('btree', 'hash') \
        WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indisready AND i.indislive AND i.indpred IS NULL \
          AND i.indnkeyatts >= pg_catalog.cardinality(k.conkey) \
          AND k.conkey <@ (i.indkey::int2[])[0:pg_catalog.cardinality(k.conkey) - 1]) \
    ORDER BY 1, 2, 3";

type Row = (String, String, String, Vec<String>, Vec<String>);

struct ForeignKey {
    schema: String,
    table: String,
    name: String,
    columns: Vec<String>,
    /// Indexes that would help if they were valid and had no predicate.
    unusable: Vec<String>,
}

async fn look(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    if !scope.indexes.foreign_keys {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = query_as(SQL).bind(&scope.schemas).fetch_all(connection).await.asked("read which foreign keys have no index")?;
    let keys = rows.into_iter().map(|(schema, table, name, columns, unusable)| ForeignKey { schema, table, name, columns, unusable });
    Ok(keys.map(|key| judge(&key)).collect())
}

fn judge(key: &ForeignKey) -> Finding {
    let mut message = format!("the foreign key {} ({}) has no index", key.name, key.columns.join(", "));
    if !key.unusable.is_empty() {
        let (do_not, they) = if key.unusable.len() == 1 { ("does not", "it is") } else { ("do not", "they are") };
        message = format!("{message}; {} {do_not} count: {they} partial or not valid", sql::few(&key.unusable, 3));
    }
    let columns: Vec<_> = key.columns.iter().map(|column| sql::identifier(column)).collect();
    let remedy = format!("CREATE INDEX CONCURRENTLY ON {} ({})", sql::qualified(&key.schema, &key.table), columns.join(", "));
    META.finding(format!("{}.{}", key.schema, key.table), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_the_statement_that_is_missing() {
        let (columns, unusable) = (vec!["clinicId".into(), "id".into()], vec!["partial".into()]);
        let finding = judge(&ForeignKey { schema: "s".into(), table: "Visit".into(), name: "fk".into(), columns, unusable });
        assert_eq!(finding.remedy, "CREATE INDEX CONCURRENTLY ON \"s\".\"Visit\" (\"clinicId\", \"id\")");
        assert!(finding.message.ends_with("partial does not count: it is partial or not valid"));
    }
}
