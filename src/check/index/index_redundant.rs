//! No index that another one makes superfluous.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, index_migration},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::IndexRedundant,
    title: "No index is superfluous beside another one",
    condition: "`spec.verify.indexes.redundant` is true (the default), and of two valid indexes of a table \
        with the same access method and \
                predicate, one has the same key columns as the other (a duplicate), or a B-tree's key \
                columns are the first ones of another \
                B-tree: with the same expressions, operator classes, collations and directions, and with no \
                INCLUDE column that the other \
                lacks. An index that guarantees something the other does not is never superfluous: a unique \
                one, unless the other is unique \
                on the same columns; and the index of a constraint, of a replica identity or of CLUSTER.",
    effect: "Every write pays for both, the cache holds both, and every query could use the other one.",
    remedy: "`DROP INDEX CONCURRENTLY` in a migration, or set `spec.verify.indexes.redundant` to false. An \
        index that is much smaller than the \
             one that covers it can be worth keeping.",
    severity: Severity::Warning,
    aspect: Aspect::Index,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| scope.indexes.redundant,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// Expressions and predicates are compared as PostgreSQL prints them: the stored trees also say where in a
/// statement they stood. They are printed only where there are two to compare, because printing takes a lock
/// on the table. The slices number from one what the catalog numbers from zero. An index that begins with a
/// column of its own is not read at all.
const SQL: &str = "\
    WITH i AS MATERIALIZED (SELECT i.* FROM pg_catalog.pg_index i WHERE i.indisvalid AND i.indisready AND \
    i.indislive AND EXISTS ( \
      SELECT FROM pg_catalog.pg_index o WHERE o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid AND \
      o.indkey[0] = i.indkey[0])) \
    SELECT i.indrelid::int8 AS table_id, n.nspname::text AS schema, t.relname::text AS table_name, \
    x.relname::text AS name, m.amname::text AS method, \
           i.indisunique AS unique, i.indnullsnotdistinct AS nulls_not_distinct, \
           i.indisexclusion OR i.indisreplident OR i.indisclustered OR x.relispartition \
             OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid) AS bound, \
           i.indnkeyatts::int4 AS keys, (i.indkey::int2[])[0:] AS columns, \
           (i.indclass::pg_catalog.oid[])[0:]::int8[] AS classes, \
           (i.indcollation::pg_catalog.oid[])[0:]::int8[] AS collations, (i.indoption::int2[])[0:] AS \
           options, \
           CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_index o WHERE o.indrelid = i.indrelid AND \
           o.indexrelid <> i.indexrelid \
               AND o.indkey[0] = i.indkey[0] AND o.indexprs IS NOT NULL AND i.indexprs IS NOT NULL) \
             THEN ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k.n, false) \
               FROM pg_catalog.generate_series(1, i.indnkeyatts) k(n) WHERE i.indkey[k.n - 1] = 0 ORDER BY \
               k.n) ELSE '{}' END AS expressions, \
           CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_index o WHERE o.indrelid = i.indrelid AND \
           o.indexrelid <> i.indexrelid \
               AND o.indkey[0] = i.indkey[0] AND o.indpred IS NOT NULL AND i.indpred IS NOT NULL) \
             THEN pg_catalog.pg_get_expr(i.indpred, i.indrelid) WHEN i.indpred IS NOT NULL THEN 'of ' || \
             i.indexrelid::text END AS predicate \
    FROM i \
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
    JOIN pg_catalog.pg_am m ON m.oid = x.relam \
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    WHERE n.nspname = ANY($1) \
    ORDER BY 2, 3, 4";

#[derive(Clone, FromRow)]
struct Index {
    table_id: i64,
    schema: String,
    table_name: String,
    name: String,
    method: String,
    unique: bool,
    nulls_not_distinct: bool,
    /// Something else needs it: a constraint, a replica identity, CLUSTER, or the index of which it is a
    /// part.
    bound: bool,
    /// How many of the columns are keys; the rest are INCLUDE's.
    keys: i32,
    columns: Vec<i16>,
    classes: Vec<i64>,
    collations: Vec<i64>,
    options: Vec<i16>,
    expressions: Vec<String>,
    predicate: Option<String>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    if !scope.indexes.redundant {
        return Ok(Vec::new());
    }
    let rows: Vec<Index> =
        query_as(SQL).bind(&scope.schemas).fetch_all(connection).await.context("read the indexes")?;
    let mut tables: BTreeMap<i64, Vec<Index>> = BTreeMap::new();
    for row in rows {
        tables.entry(row.table_id).or_default().push(row);
    }
    Ok(tables.values().flat_map(|indexes| judge(indexes)).collect())
}

/// Which indexes of one table are superfluous, and beside which.
fn judge(indexes: &[Index]) -> Vec<Finding> {
    let replaced = |index: &Index| indexes.iter().any(|other| makes_superfluous(other, index));
    let finding = |index: &Index| {
        // What stays must not be superfluous itself; the order is total, so there is always such a one.
        let stays = indexes.iter().find(|other| makes_superfluous(other, index) && !replaced(other))?;
        let same = stays.keys == index.keys;
        let how = if same { "has the same keys as" } else { "has the first keys of" };
        let unique = if stays.unique { "the unique index " } else { "" };
        let Index { schema, table_name, name, .. } = index;
        let message = format!(
            "this index of {schema}.{table_name} {how} {unique}{}, which can do all that it does",
            stays.name
        );
        Some(META.finding(
            format!("{schema}.{name}"),
            message,
            index_migration::drop(&sql::qualified(schema, name)),
        ))
    };
    indexes.iter().filter_map(finding).collect()
}

/// Whether `index` could be dropped because `other` is there. Of two that could replace each other only one
/// may be dropped: the one that guarantees less, else the one with fewer columns to serve, else the one whose
/// name comes later.
fn makes_superfluous(other: &Index, index: &Index) -> bool {
    let rank = |one: &Index| (one.bound, one.unique, one.columns.len());
    covers(other, index)
        && !(covers(index, other)
            && (rank(index), std::cmp::Reverse(&index.name)) > (rank(other), std::cmp::Reverse(&other.name)))
}

/// Whether `other` serves every query and keeps every promise that `index` does.
fn covers(other: &Index, index: &Index) -> bool {
    let same_keys = index.keys == other.keys;
    let prefix = index.keys < other.keys && index.method == "btree";
    let promised = !index.bound
        && (!index.unique
            || (same_keys && other.unique && index.nulls_not_distinct == other.nulls_not_distinct));
    index.name != other.name
        && promised
        && (same_keys || prefix)
        && index.method == other.method
        && index.predicate == other.predicate
        && starts_like(other, index)
        && included(index).iter().all(|column| other.columns.contains(column))
}

fn included(index: &Index) -> &[i16] {
    index.columns.get(usize::try_from(index.keys).unwrap_or(0)..).unwrap_or_default()
}

/// Whether the keys of `index` are the first keys of `other`.
fn starts_like(other: &Index, index: &Index) -> bool {
    fn first<T>(values: &[T], count: usize) -> Option<&[T]> {
        values.get(..count)
    }
    let count = usize::try_from(index.keys).unwrap_or(0);
    let expressions = index.expressions.len();
    first(&index.columns, count) == first(&other.columns, count)
        && first(&index.classes, count) == first(&other.classes, count)
        && first(&index.collations, count) == first(&other.collations, count)
        && first(&index.options, count) == first(&other.options, count)
        && Some(index.expressions.as_slice()) == first(&other.expressions, expressions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, columns: &[i16]) -> Index {
        let zeros = vec![0; columns.len()];
        Index {
            table_id: 1,
            schema: "s".into(),
            table_name: "t".into(),
            name: name.into(),
            method: "btree".into(),
            unique: false,
            nulls_not_distinct: false,
            bound: false,
            keys: i32::try_from(columns.len()).expect("few"),
            columns: columns.to_vec(),
            classes: zeros.clone(),
            collations: zeros,
            options: vec![0; columns.len()],
            expressions: Vec::new(),
            predicate: None,
        }
    }

    fn superfluous(indexes: &[Index]) -> Vec<String> {
        judge(indexes).into_iter().map(|finding| finding.object).collect()
    }

    #[test]
    fn of_two_that_are_the_same_one_is_told() {
        assert_eq!(superfluous(&[index("a", &[1, 2]), index("b", &[1, 2])]), ["s.b"]);
        assert_eq!(
            superfluous(&[index("a", &[1, 2]), Index { unique: true, ..index("b", &[1, 2]) }]),
            ["s.a"]
        );
        assert_eq!(superfluous(&[Index { bound: true, ..index("b", &[1]) }, index("a", &[1])]), ["s.a"]);
        assert_eq!(superfluous(&[index("a", &[1]), index("b", &[1]), index("c", &[1])]), ["s.b", "s.c"]);
    }

    #[test]
    fn the_first_keys_of_another_are_told_with_the_one_that_stays() {
        let found = judge(&[index("a", &[1]), index("b", &[1, 2]), index("c", &[1, 2, 3])]);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().all(|finding| finding.message.contains("has the first keys of c, ")),
            "{found:#?}"
        );
    }

    #[test]
    fn what_differs_in_anything_stays() {
        let long = || index("long", &[1, 2]);
        for short in [
            index("short", &[2]),
            Index { unique: true, ..index("short", &[1]) },
            Index { bound: true, ..index("short", &[1]) },
            Index { predicate: Some("(a > 1)".into()), ..index("short", &[1]) },
            Index { options: vec![3], ..index("short", &[1]) },
            Index { classes: vec![7], ..index("short", &[1]) },
            Index { collations: vec![7], ..index("short", &[1]) },
            Index { method: "hash".into(), ..index("short", &[1]) },
            Index { keys: 1, ..index("short", &[1, 5]) },
            Index { expressions: vec!["lower(a)".into()], columns: vec![0], ..index("short", &[1]) },
        ] {
            assert_eq!(superfluous(&[long(), short.clone()]), Vec::<String>::new(), "{:?}", short.columns);
        }
        assert_eq!(
            superfluous(&[long(), Index { keys: 1, ..index("short", &[1, 2]) }]),
            ["s.short"],
            "what it includes is there"
        );
    }

    #[test]
    fn a_unique_index_yields_only_to_one_with_the_same_promise() {
        let unique = |name| Index { unique: true, ..index(name, &[1]) };
        assert_eq!(superfluous(&[unique("a"), unique("b")]), ["s.b"]);
        assert_eq!(
            superfluous(&[unique("a"), Index { nulls_not_distinct: true, ..unique("b") }]),
            Vec::<String>::new()
        );
        assert_eq!(superfluous(&[unique("a"), Index { bound: true, ..unique("b") }]), ["s.a"]);
    }
}
