//! Every foreign key has an index.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, ForeignKeyIndexes, KeyChoice, Level, Severity},
    check::{Check, index_migration},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::ForeignKeyIndexed,
    title: "Every foreign key's columns lead a valid index",
    condition: "A foreign key of a table in `spec.database.schemas` has no valid B-tree or hash index whose \
        first columns are the key's columns in any \
                order. A partial index counts when its predicate says no more than that columns of the key \
                are not NULL: a row that refers to \
                nothing is not searched for. A warning; an error where \
                `spec.verify.indexes.foreignKeys.level` \
                is `Error`, not checked where it is `Off`. \
                With `only: New` only the keys are checked that the release makes or validates, which are \
                those that a transaction \
                wrote after the release began; `except` names tables and keys that need no index.",
    effect: "Each DELETE of a referenced row, and each UPDATE of its key, reads the whole referencing table \
        while it holds locks; and joins along \
             the key do the same.",
    remedy: "`CREATE INDEX CONCURRENTLY` on the key's columns, each in a migration file of its own that \
        begins with `-- sluice: no-transaction`: Prisma \
             runs such a file too, and refuses one in which a second statement stands beside it. Or name the \
             table or the key in \
             `spec.verify.indexes.foreignKeys.except`.",
    severity: Severity::Warning,
    aspect: Aspect::Index,
};

pub(super) const CHECK: Check =
    Check { meta: &META, is_enabled, inspect: |connection, scope| Box::pin(inspect(connection, scope)) };

/// Where Sluice does not know when the release began, there is none and nothing is new.
fn is_enabled(scope: &Scope) -> bool {
    let ForeignKeyIndexes { level, only, .. } = &scope.indexes.foreign_keys;
    *level != Level::Off && (*only == KeyChoice::All || scope.began.is_some())
}

/// A partition's copy of its table's foreign key is left out: the table's index has a part on every
/// partition. Rows know the lower half of their transaction's number, so that is what is counted with. The
/// snapshot ends before transactions that are still open, as this one mostly is; a million is more than its
/// savepoints take.
const SQL: &str = "\
    WITH candidates AS (SELECT i.*, x.relname, \
        (i.indkey::int2[])[0:i.indnkeyatts - 1] AS keys, m.amname IN ('btree', 'hash') AND i.indisvalid AND \
        i.indisready AND i.indislive AS usable \
      FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m \
      ON m.oid = x.relam \
      WHERE EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.conrelid = i.indrelid \
      AND i.indkey[0] = ANY(k.conkey))), \
    missing AS (SELECT k.*, pg_catalog.cardinality(k.conkey) AS width FROM pg_catalog.pg_constraint k \
      WHERE k.contype = 'f' AND k.conparentid = 0 \
        AND ($2::int8 IS NULL OR pg_catalog.mod(k.xmin::text::int8 - pg_catalog.mod($2, 4294967296) + \
        4294967296, 4294967296) \
          < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8 - $2 + 1048576) \
        AND NOT EXISTS (SELECT FROM candidates i WHERE i.indrelid = k.conrelid AND i.usable AND i.indpred IS \
        NULL \
          AND k.conkey <@ i.keys[1:pg_catalog.cardinality(k.conkey)])) \
    SELECT n.nspname::text AS schema, t.relname::text AS table, k.conname::text AS name, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY c(number, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number ORDER BY \
             c.place) AS columns, \
           ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_attribute a WHERE a.attrelid = \
           k.conrelid AND a.attnum = ANY(k.conkey)) AS printed, \
           ARRAY(SELECT pg_catalog.pg_get_expr(i.indpred, i.indrelid) FROM candidates i \
             WHERE i.indrelid = k.conrelid AND i.usable AND i.indpred IS NOT NULL AND k.conkey <@ \
             i.keys[1:k.width]) AS predicates, \
           ARRAY(SELECT i.relname::text FROM candidates i \
             WHERE i.indrelid = k.conrelid AND (NOT i.indisvalid OR i.indpred IS NOT NULL) AND i.indkey[0] = \
             ANY(k.conkey) ORDER BY 1) AS unusable \
    FROM missing k \
    JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    WHERE n.nspname = ANY($1) \
    ORDER BY 1, 2, 3";

#[derive(Clone, Debug, Default, FromRow)]
struct ForeignKey {
    schema: String,
    table: String,
    name: String,
    columns: Vec<String>,
    /// The columns, as PostgreSQL prints them in an expression.
    printed: Vec<String>,
    /// The predicates of the indexes that would serve the key without them.
    predicates: Vec<String>,
    /// Indexes that would help if they were valid and had no predicate.
    unusable: Vec<String>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let expected = &scope.indexes.foreign_keys;
    let since = scope.began.filter(|_| expected.only == KeyChoice::New).map(|began| began.0);
    let keys: Vec<ForeignKey> = query_as(SQL)
        .bind(&scope.schemas)
        .bind(since)
        .fetch_all(connection)
        .await
        .context("read which foreign keys have no index")?;
    Ok(keys.iter().filter_map(|key| judge(key, expected)).collect())
}

fn judge(key: &ForeignKey, expected: &ForeignKeyIndexes) -> Option<Finding> {
    let ForeignKey { schema, table, name, columns, printed, predicates, unusable } = key;
    let object = format!("{schema}.{table}");
    let excepted = expected.except.iter().any(|except| [table, &object, name].contains(&except));
    if excepted || predicates.iter().any(|predicate| leaves_out_nothing_but_null(predicate, printed)) {
        return None;
    }
    let mut message = format!("the foreign key {name} ({}) has no index", columns.join(", "));
    if !unusable.is_empty() {
        let (do_not, they) = if unusable.len() == 1 { ("does not", "it is") } else { ("do not", "they are") };
        message = format!("{message}; {} {do_not} count: {they} partial or not valid", sql::few(unusable, 3));
    }
    let columns: Vec<_> = columns.iter().map(|column| sql::identifier(column)).collect();
    let create =
        format!("CREATE INDEX CONCURRENTLY ON {} ({})", sql::qualified(schema, table), columns.join(", "));
    let remedy = index_migration::build(&create);
    let severity = if expected.level == Level::Error { Severity::Error } else { Severity::Warning };
    Some(Finding { severity, ..META.finding(object, message, remedy) })
}

/// Whether a predicate, as PostgreSQL prints it, is `column IS NOT NULL` for columns of the key, joined by
/// AND. A row in which one of them is NULL refers to nothing, so no query searches for it by the key.
fn leaves_out_nothing_but_null(predicate: &str, columns: &[String]) -> bool {
    let rest = columns
        .iter()
        .fold(predicate.to_owned(), |rest, column| rest.replace(&format!("({column} IS NOT NULL)"), ""));
    rest.len() < predicate.len() && rest.replace(" AND ", "").bytes().all(|byte| b"()".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Began;

    fn key() -> ForeignKey {
        let columns = vec!["clinicId".to_owned(), "id".to_owned()];
        let printed = vec!["\"clinicId\"".to_owned(), "id".to_owned()];
        ForeignKey {
            schema: "s".into(),
            table: "Visit".into(),
            name: "Visit_fk".into(),
            columns,
            printed,
            ..ForeignKey::default()
        }
    }

    #[test]
    fn the_remedy_is_the_statement_that_is_missing_and_says_how_prisma_runs_it() {
        let finding =
            judge(&ForeignKey { unusable: vec!["partial".into()], ..key() }, &ForeignKeyIndexes::default())
                .expect("is found");
        assert!(
            finding
                .remedy
                .starts_with("CREATE INDEX CONCURRENTLY ON \"s\".\"Visit\" (\"clinicId\", \"id\");"),
            "{}",
            finding.remedy
        );
        assert!(
            finding.remedy.contains("-- sluice: no-transaction") && finding.remedy.contains("Prisma"),
            "{}",
            finding.remedy
        );
        assert!(finding.message.ends_with("partial does not count: it is partial or not valid"));
    }

    #[test]
    fn a_key_without_an_index_is_a_warning_unless_the_manifest_says_error() {
        let severity = |level| {
            judge(&key(), &ForeignKeyIndexes { level, ..ForeignKeyIndexes::default() })
                .map(|finding| finding.severity)
        };
        assert_eq!(severity(Level::Warn), Some(Severity::Warning));
        assert_eq!(severity(Level::Error), Some(Severity::Error));
    }

    #[test]
    fn an_exception_is_a_table_or_a_key() {
        let found = |except: &str| {
            judge(&key(), &ForeignKeyIndexes { except: vec![except.into()], ..ForeignKeyIndexes::default() })
        };
        assert!(["Visit", "s.Visit", "Visit_fk"].iter().all(|except| found(except).is_none()));
        assert!(["visit", "Visit.Visit_fk", "s"].iter().all(|except| found(except).is_some()));
    }

    #[test]
    fn a_predicate_that_leaves_out_only_rows_without_a_reference_serves_the_key() {
        let serves = |predicate: &str| {
            judge(&ForeignKey { predicates: vec![predicate.into()], ..key() }, &ForeignKeyIndexes::default())
                .is_none()
        };
        assert!(serves("(\"clinicId\" IS NOT NULL)") && serves("(id IS NOT NULL)"));
        assert!(serves("((\"clinicId\" IS NOT NULL) AND (id IS NOT NULL))"));
        for other in [
            "(deleted IS NOT NULL)",
            "((id IS NOT NULL) AND (deleted IS NULL))",
            "((id IS NOT NULL) OR (id > 1))",
            "(id IS NULL)",
            "(id > 0)",
        ] {
            assert!(!serves(other), "{other}");
        }
    }

    #[test]
    fn without_a_release_nothing_is_new() {
        let expected = |only, began| {
            let mut scope = Scope { began, ..Scope::default() };
            scope.indexes.foreign_keys.only = only;
            is_enabled(&scope)
        };
        assert!(
            expected(KeyChoice::All, None)
                && expected(KeyChoice::New, Some(Began(7)))
                && !expected(KeyChoice::New, None)
        );
    }
}
