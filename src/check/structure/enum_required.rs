//! The enums that the manifest names are there, with their values in order.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, RequiredEnum, Severity},
    check::Check,
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::EnumRequired,
    title: "Every enum that the manifest requires has exactly its values in order",
    condition: "`spec.verify.tables.enums` names an enum that does not exist, that lacks a value, has one \
        more, or has them in another order.",
    effect: "The application writes a value that PostgreSQL refuses, or reads one it does not know; rows \
        sort by the order of the values.",
    remedy: "`ALTER TYPE … ADD VALUE … BEFORE/AFTER` in a migration, or correct the manifest. A value cannot \
        be taken away or moved: that needs a \
             new type.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| !scope.assertions.tables.enums.is_empty(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = "\
    SELECT n.nspname::text, y.typname::text, \
           ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = y.oid ORDER BY \
           e.enumsortorder) \
    FROM pg_catalog.pg_type y JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace \
    WHERE y.typtype = 'e' \
      AND ((y.typname::text = ANY($1) AND n.nspname = ANY($2)) OR n.nspname || '.' || y.typname = ANY($1)) \
    ORDER BY 1, 2";

struct Enum {
    schema: String,
    name: String,
    values: Vec<String>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let required = &scope.assertions.tables.enums;
    if required.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = required.iter().map(|expected| expected.name.clone()).collect();
    let rows: Vec<(String, String, Vec<String>)> = query_as(SQL)
        .bind(names)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read the enums")?;
    let enums: Vec<_> =
        rows.into_iter().map(|(schema, name, values)| Enum { schema, name, values }).collect();
    Ok(required.iter().filter_map(|expected| judge(expected, &enums, &scope.schemas)).collect())
}

fn judge(expected: &RequiredEnum, enums: &[Enum], schemas: &[String]) -> Option<Finding> {
    let in_schema =
        |schema: &String| enums.iter().find(|one| one.schema == *schema && one.name == expected.name);
    let qualified = || enums.iter().find(|one| format!("{}.{}", one.schema, one.name) == expected.name);
    let Some(found) = schemas.iter().find_map(in_schema).or_else(qualified) else {
        let message = format!(
            "the enum {:?} is required, and there is no such enum in {}",
            expected.name,
            sql::list(schemas)
        );
        return Some(META.finding(
            &expected.name,
            message,
            "create it in a migration, or correct spec.verify.tables.enums",
        ));
    };
    if found.values == expected.values {
        return None;
    }
    let without = |from: &[String], other: &[String]| {
        from.iter().filter(|value| !other.contains(value)).cloned().collect::<Vec<_>>()
    };
    let (missing, surplus) =
        (without(&expected.values, &found.values), without(&found.values, &expected.values));
    let wrong = match (missing.as_slice(), surplus.as_slice()) {
        ([], []) => format!("has its values in another order: {}", found.values.join(", ")),
        (missing, []) => format!("lacks {}", sql::list(missing)),
        ([], surplus) => format!("has {} too", sql::list(surplus)),
        (missing, surplus) => format!("lacks {} and has {} instead", sql::list(missing), sql::list(surplus)),
    };
    Some(META.finding(format!("{}.{}", found.schema, found.name), format!("the enum {wrong}"), META.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(is: &[&str]) -> Option<String> {
        let owned = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = RequiredEnum { name: "Status".into(), values: owned(&["open", "closed"]) };
        let found = Enum { schema: "s".into(), name: "Status".into(), values: owned(is) };
        judge(&expected, &[found], &["s".to_owned()]).map(|finding| finding.message)
    }

    #[test]
    fn values_and_their_order_count() {
        assert_eq!(told(&["open", "closed"]), None);
        assert_eq!(
            told(&["closed", "open"]).as_deref(),
            Some("the enum has its values in another order: closed, open")
        );
        assert_eq!(told(&["open"]).as_deref(), Some("the enum lacks closed"));
        assert_eq!(told(&["open", "closed", "gone"]).as_deref(), Some("the enum has gone too"));
        assert_eq!(told(&["open", "gone"]).as_deref(), Some("the enum lacks closed and has gone instead"));
    }
}
