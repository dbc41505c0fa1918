//! Values of enums are named in the style of the manifest.

use sqlx::PgConnection;

use super::{
    super::{Check, enabled},
    CheckError, Deviation, Meta, QueryContext, by_exemption, naming, query_as, report, sql,
};
use crate::{
    api::{CheckId, Conventions, Finding, Severity, Style},
    inspect::{Aspect, Scope},
};

const META: Meta = Meta {
    id: CheckId::ConventionEnumValues,
    title: "Every value of an enum is named in the style of the manifest",
    condition: "`spec.verify.conventions.enumValues` names a style, and an enum in `spec.database.schemas` \
        has a value in another. What `except` \
                names, an enum or one `enum.value`, is told as information.",
    effect: "Code that was generated for the convention does not know the value.",
    remedy: "`ALTER TYPE … RENAME VALUE` in a migration, together with the application; or name it in \
        `spec.verify.conventions.except`.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(in super::super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| enabled::by_conventions(scope, |names| names.enum_values.is_some()),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = "\
    SELECT n.nspname::text, y.typname::text, pg_catalog.array_agg(e.enumlabel::text ORDER BY \
    e.enumsortorder) \
    FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type y ON y.oid = e.enumtypid \
    JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace \
    WHERE n.nspname = ANY($1) AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
      WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = y.oid AND d.deptype = 'e') \
    GROUP BY 1, 2 ORDER BY 1, 2";

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some((conventions, style)) =
        scope.assertions.conventions.as_ref().and_then(|all| Some((all, all.enum_values?)))
    else {
        return Ok(Vec::new());
    };
    let rows: Vec<(String, String, Vec<String>)> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read the values of the enums")?;
    let deviations =
        rows.iter().flat_map(|(schema, name, values)| judge(conventions, schema, name, values, style));
    Ok(report(&META, conventions, deviations))
}

fn judge(
    conventions: &Conventions,
    schema: &str,
    name: &str,
    values: &[String],
    style: Style,
) -> Vec<Deviation> {
    let wrong = values
        .iter()
        .filter(|value| !naming::has_style(value, style))
        .map(|value| (value.as_str(), format!("{value:?}")));
    let deviation = |(names, values): (Vec<String>, Vec<String>)| Deviation {
        names,
        object: format!("{schema}.{name}"),
        message: format!("values that are not {}: {}", naming::name_of(style), sql::few(&values, 10)),
        remedy: META.remedy.to_owned(),
    };
    by_exemption(conventions, schema, name, wrong).into_iter().map(deviation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_can_be_exempt_beside_another_that_is_not() {
        let conventions = serde_json::from_value(serde_json::json!({"except": ["Status.in progress"]}))
            .expect("conventions");
        let values = ["OPEN", "in progress", "Done"].map(str::to_owned);
        let found = judge(&conventions, "s", "Status", &values, Style::UpperSnakeCase);
        assert!(
            found[0].message.ends_with("UPPER_SNAKE_CASE: \"Done\"")
                && found[1].message.ends_with("\"in progress\"")
        );
    }
}
