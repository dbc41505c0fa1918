//! There are as many tables, columns, enums, indexes and foreign keys as the manifest says.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, ExpectedCounts, Finding, Severity},
    check::Check,
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, owned, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::TableCount,
    title: "There are as many tables, columns, enums, indexes and foreign keys as the manifest says",
    condition: "`spec.verify.tables.count` says another number than the schemas of `spec.database.schemas` \
        have together. Not counted are histories, \
                partitions with their indexes and foreign keys, what extensions bring, and the indexes of \
                primary keys.",
    effect: "Something is missing, or something is there that no person planned.",
    remedy: "Compare with the source what is there: `\\dt`, `\\di` and `\\dT` in psql. Correct the manifest \
        when the number was meant to change.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| scope.assertions.tables.count.is_some(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = owned::tables!(
    "SELECT (SELECT pg_catalog.count(*) FROM own) AS tables, \
       (SELECT pg_catalog.count(*) FROM own JOIN pg_catalog.pg_attribute a ON a.attrelid = own.oid AND \
       a.attnum > 0 AND NOT a.attisdropped) AS columns, \
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_type y JOIN pg_catalog.pg_namespace n ON n.oid = \
       y.typnamespace \
          WHERE y.typtype = 'e' AND n.nspname = ANY($1) AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
            WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = y.oid AND d.deptype = \
            'e')) AS enums, \
       (SELECT pg_catalog.count(*) FROM own JOIN pg_catalog.pg_index i ON i.indrelid = own.oid AND NOT \
       i.indisprimary) AS indexes, \
       (SELECT pg_catalog.count(*) FROM own JOIN pg_catalog.pg_constraint k ON k.conrelid = own.oid AND \
       k.contype = 'f' AND k.conparentid = 0) AS foreign_keys"
);

struct Counts {
    tables: i64,
    columns: i64,
    enums: i64,
    indexes: i64,
    foreign_keys: i64,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(expected) = &scope.assertions.tables.count else { return Ok(Vec::new()) };
    let row: (i64, i64, i64, i64, i64) = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_one(connection)
        .await
        .context("count tables, columns, enums, indexes and keys")?;
    let (tables, columns, enums, indexes, foreign_keys) = row;
    let counts = Counts { tables, columns, enums, indexes, foreign_keys };
    Ok(judge(expected, &counts, &scope.schemas).into_iter().collect())
}

fn judge(expected: &ExpectedCounts, counts: &Counts, schemas: &[String]) -> Option<Finding> {
    let Counts { tables, columns, enums, indexes, foreign_keys } = counts;
    let exact = [
        ("tables", expected.tables, tables),
        ("columns", expected.columns, columns),
        ("enums", expected.enums, enums),
        ("indexes", expected.indexes, indexes),
        ("foreign keys", expected.foreign_keys, foreign_keys),
    ];
    let differing = exact.into_iter().filter_map(|(what, desired, is)| {
        desired
            .filter(|desired| i64::from(*desired) != *is)
            .map(|desired| format!("{is} {what} and not {desired}"))
    });
    let too_few = expected.min_tables.filter(|desired| i64::from(*desired) > *tables);
    let wrong: Vec<_> = differing
        .chain(too_few.map(|desired| format!("{tables} tables and not at least {desired}")))
        .collect();
    if wrong.is_empty() {
        return None;
    }
    Some(META.finding(sql::list(schemas), format!("there are {}", sql::list(&wrong)), META.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_that_differs_is_told() {
        let counts = Counts { tables: 9, columns: 98, enums: 4, indexes: 14, foreign_keys: 8 };
        let schemas = ["public".to_owned()];
        let told = |expected| judge(&expected, &counts, &schemas).map(|finding| finding.message);
        let right = || ExpectedCounts {
            tables: Some(9),
            columns: Some(98),
            enums: Some(4),
            indexes: Some(14),
            foreign_keys: Some(8),
            min_tables: Some(9),
        };
        assert_eq!(told(right()), None);
        assert_eq!(told(ExpectedCounts::default()), None);
        let wrong = ExpectedCounts { enums: Some(5), foreign_keys: Some(9), ..right() };
        assert_eq!(told(wrong).as_deref(), Some("there are 4 enums and not 5 and 8 foreign keys and not 9"));
        let few = ExpectedCounts { min_tables: Some(30), ..ExpectedCounts::default() };
        assert_eq!(told(few).as_deref(), Some("there are 9 tables and not at least 30"));
    }
}
