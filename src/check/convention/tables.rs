//! Tables are named in the style of the manifest.

use sqlx::PgConnection;

use super::{
    super::{Check, enabled},
    CheckError, Deviation, Meta, QueryContext, naming, owned, query_as, report,
};
use crate::{
    api::{CheckId, Finding, Severity, Style},
    inspect::{Aspect, Scope},
};

const META: Meta = Meta {
    id: CheckId::ConventionTables,
    title: "Every table is named in the style of the manifest",
    condition: "`spec.verify.conventions.tables` names a style, and a table of `spec.database.schemas` is \
        named in another. Histories, partitions and \
                tables of extensions are left out. What `except` names is told as information.",
    effect: "People and tools that rely on the convention do not find the table, or need quotes for its \
        name.",
    remedy: "Rename it in a migration (expand and contract where the application is running), or name it in \
        `spec.verify.conventions.except`.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(in super::super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| enabled::by_conventions(scope, |names| names.tables.is_some()),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = owned::tables!("SELECT schema, name FROM own ORDER BY 1, 2");

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some((conventions, style)) =
        scope.assertions.conventions.as_ref().and_then(|all| Some((all, all.tables?)))
    else {
        return Ok(Vec::new());
    };
    let rows: Vec<(String, String)> = query_as(SQL)
        .bind(&scope.schemas)
        .fetch_all(connection)
        .await
        .context("read the names of the tables")?;
    Ok(report(&META, conventions, rows.iter().filter_map(|(schema, name)| judge(schema, name, style))))
}

fn judge(schema: &str, name: &str, style: Style) -> Option<Deviation> {
    (!naming::has_style(name, style)).then(|| Deviation {
        names: super::names(schema, name, None),
        object: format!("{schema}.{name}"),
        message: format!("the name of this table is not {}", naming::name_of(style)),
        remedy: META.remedy.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_style_is_told() {
        assert!(judge("s", "LabResult", Style::PascalCase).is_none());
        assert_eq!(
            judge("s", "lab_results", Style::PascalCase).expect("a deviation").object,
            "s.lab_results"
        );
    }
}
