//! Every table has a primary key.

use sqlx::PgConnection;

use super::{
    super::{Check, enabled},
    CheckError, Deviation, Meta, QueryContext, owned, query_as, report,
};
use crate::{
    api::{CheckId, Finding, Severity},
    inspect::{Aspect, Scope},
};

const META: Meta = Meta {
    id: CheckId::PrimaryKey,
    title: "Every table has a primary key",
    condition: "`spec.verify.conventions` is there and its `primaryKey` is not false, and a table of \
        `spec.database.schemas` has no primary key. \
                History tables, partitions and tables of extensions are left out. What `except` names is told as \
                information.",
    effect: "A row cannot be named, so it cannot be corrected or replicated alone, and the same one can \
        be written twice.",
    remedy: "`ALTER TABLE … ADD PRIMARY KEY USING INDEX` on a unique index that was built CONCURRENTLY, or \
        name the table in \
             `spec.verify.conventions.except`.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(in super::super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| enabled::by_conventions(scope, |names| names.primary_key),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = owned::tables!(
    "SELECT schema, name FROM own WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid \
        = own.oid AND k.contype = 'p') \
     ORDER BY 1, 2"
);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(conventions) = scope.assertions.conventions.as_ref().filter(|all| all.primary_key) else {
        return Ok(Vec::new());
    };
    let rows: Vec<(String, String)> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read which tables have no primary key")?;
    Ok(report(&META, conventions, rows.iter().map(|(schema, name)| judge(schema, name))))
}

fn judge(schema: &str, name: &str) -> Deviation {
    Deviation {
        names: super::names(schema, name, None),
        object: format!("{schema}.{name}"),
        message: "this table has no primary key".to_owned(),
        remedy: META.remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_can_be_exempt_with_and_without_its_schema() {
        assert_eq!(judge("s", "t").names, ["s.t", "t"]);
    }
}
