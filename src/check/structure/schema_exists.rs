//! The schemas of the manifest are there: a name that is misspelled would make every other check read
//! nothing.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope},
    postgres::query_as,
};

const META: Meta = Meta {
    id: CheckId::SchemaExists,
    title: "Every schema of the manifest exists",
    condition: "`spec.database.schemas` names a schema that the database does not have.",
    effect: "No check reads what is really there. If the name is misspelled, tables go unchecked and \
        no person is told.",
    remedy: "Correct `spec.database.schemas`; names are case-sensitive. If a later migration creates the \
        schema, the finding goes away with it.",
    severity: Severity::Warning,
    aspect: Aspect::Index,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::always,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = "SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY($1)";

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let present: Vec<(String,)> =
        query_as(SQL).bind(&scope.schemas).fetch_all(connection).await.context("read which schemas exist")?;
    let present: Vec<_> = present.into_iter().map(|(name,)| name).collect();
    Ok(judge(&scope.schemas, &present))
}

fn judge(expected: &[String], present: &[String]) -> Vec<Finding> {
    let missing = expected.iter().filter(|schema| !present.contains(schema));
    missing
        .map(|schema| {
            META.finding(
                schema,
                format!("the schema {schema:?} does not exist, so nothing in it was checked"),
                META.remedy,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_named() {
        let (core, clinical) = ("core".to_owned(), "clinical".to_owned());
        let found = judge(&[core.clone(), clinical], &[core]);
        assert_eq!(found.iter().map(|finding| finding.object.as_str()).collect::<Vec<_>>(), ["clinical"]);
    }
}
