//! Policies do not call a function for each row.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsPerRow,
    title: "No policy calls a function of one's own for each row",
    condition: "The expression of a policy on a tenant table calls a function that is not PostgreSQL's own, \
        outside a `(SELECT …)`, and gives it no \
                column of the row.",
    effect: "PostgreSQL evaluates the expression for each row it reads. In a `(SELECT …)` it becomes a \
        plan of its own that runs once for each \
             query; without, a function that reads a table makes a list of 10,000 rows read it 10,000 times.",
    remedy: "Write `tenant_column = (SELECT my_function())`.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// PostgreSQL records on which functions a policy depends, those of its own aside. How it prints their names
/// depends on the search path, so both forms are searched for.
const SQL: &str = tenancy::tenants!(
    "SELECT t.schema, t.name, p.polname::text, pg_catalog.concat_ws(' ; ', pg_catalog.pg_get_expr(p.polqual, \
        p.polrelid), \
            pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)), pg_catalog.quote_ident(f.proname) \
     FROM tenant_tables t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid \
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = \
     p.oid \
      AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
     JOIN pg_catalog.pg_proc f ON f.oid = d.refobjid WHERE t.enabled GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, \
     3, 5"
);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let rows: Vec<(String, String, String, String, String)> = tenancy::rows(SQL, scope, security)
        .fetch_all(connection)
        .await
        .context("read which functions policies call")?;
    let called =
        rows.iter().filter(|(_, _, _, expression, function)| is_called_for_each_row(expression, function));
    let found = called.map(|(schema, table, policy, _, function)| {
        let message = format!("the policy {policy} calls {function}() for each row");
        let remedy = format!(
            "ALTER POLICY {} ON {}: write (SELECT {function}())",
            sql::identifier(policy),
            sql::qualified(schema, table)
        );
        META.finding(format!("{schema}.{table}"), message, remedy)
    });
    Ok(found.collect())
}

/// Whether it is called without a column and outside a subquery, in an expression as PostgreSQL prints it.
/// PURE.
fn is_called_for_each_row(expression: &str, function: &str) -> bool {
    expression.match_indices(&format!("{function}(")).any(|(at, call)| {
        let before = &expression[..at];
        // Not the end of a longer name.
        let whole = before.chars().next_back().is_none_or(|last| !(last.is_alphanumeric() || last == '_'));
        let arguments = &expression[at + call.len()..];
        let constant = arguments.find(')').is_some_and(|end| arguments[..end].split(',').all(is_constant));
        whole && constant && !is_in_subquery(before)
    })
}

/// Nothing, a literal or a number; anything else may be a column.
fn is_constant(argument: &str) -> bool {
    let argument = argument.trim();
    argument.is_empty()
        || argument.starts_with('\'')
        || argument.parse::<f64>().is_ok()
        || argument == "true"
        || argument == "false"
}

/// Whether a parenthesis that is open at the end began with SELECT.
fn is_in_subquery(before: &str) -> bool {
    let mut open = Vec::new();
    for (at, character) in before.char_indices() {
        match character {
            '(' => open.push(before[at + 1..].trim_start().starts_with("SELECT")),
            ')' => {
                open.pop();
            }
            _ => {}
        }
    }
    open.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_a_subquery_or_with_a_column_is_not_one_for_each_row_that_could_be_saved() {
        for (expression, called) in [
            ("(clinic_id = app.clinic())", true),
            ("(clinic_id = clinic())", true),
            ("(clinic_id = clinic('x'::text, 1))", true),
            ("(clinic_id = ( SELECT app.clinic() AS clinic))", false),
            ("may_see(clinic_id)", false),
            ("(clinic_id = my_clinic())", false),
            ("((clinic_id = ( SELECT clinic() AS clinic)) OR (other = clinic()))", true),
        ] {
            assert_eq!(is_called_for_each_row(expression, "clinic"), called, "{expression}");
        }
        assert!(!is_called_for_each_row("may_see(clinic_id)", "may_see"));
    }
}
