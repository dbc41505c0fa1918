//! Policies read the tenant so that an unknown one sees nothing, on a fresh connection and on a pooled one.

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsSetting,
    title: "Policies read the tenant's setting so that a session without one sees nothing",
    condition: "The expression of a policy on a tenant table reads \
        `spec.verify.rowLevelSecurity.tenant.setting` in one of three ways: without \
                `missing_ok`; with a cast of the bare value to a type that '' is not a value of; or with an \
                OR beside a comparison that \
                holds when the setting is NULL or ''.",
    effect: "A setting that was never set is NULL; one that was set by SET LOCAL is '' after the \
        transaction, which is what a pooled connection \
             gives to the next one. Without `missing_ok` the first raises an error, a bare cast turns the \
             second into an error, and an \
             OR on NULL or '' opens the table to a session that did not say who it is.",
    remedy: "Write `tenant_column = NULLIF(current_setting('setting', true), '')::type`, and nothing that \
        holds without a tenant.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = tenancy::tenants!(
    "SELECT t.schema, t.name, p.polname::text, pg_catalog.concat_ws(' ; ', pg_catalog.pg_get_expr(p.polqual, \
        p.polrelid), \
            pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) \
     FROM tenant_tables t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid WHERE t.enabled ORDER BY 1, 2, 3"
);

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let rows: Vec<(String, String, String, String)> = tenancy::rows(SQL, scope, security)
        .fetch_all(connection)
        .await
        .context("read how policies read the tenant")?;
    let found = rows.iter().filter_map(|(schema, table, policy, expression)| {
        let flaw = flaw(expression, &security.tenant.setting)?;
        let remedy = format!(
            "ALTER POLICY {} ON {}: compare with NULLIF(current_setting('{}', true), '') and its cast",
            sql::identifier(policy),
            sql::qualified(schema, table),
            security.tenant.setting
        );
        Some(META.finding(format!("{schema}.{table}"), format!("the policy {policy} {flaw}"), remedy))
    });
    Ok(found.collect())
}

/// What is wrong with an expression as PostgreSQL prints it, the worst first. PURE.
fn flaw(expression: &str, setting: &str) -> Option<String> {
    // Names of settings are compared without regard to case.
    let text = expression.to_lowercase();
    let strict = format!("current_setting('{}'::text)", setting.to_lowercase());
    let lenient = format!("current_setting('{}'::text, true)", setting.to_lowercase());
    let holds_without = [" is null", " = ''::text", ", ''::text) = ''::text"];
    let reads = |read: &str| {
        [
            read.to_owned(),
            format!("({read})"),
            format!("coalesce({read}"),
            format!("( select {read} as current_setting)"),
        ]
    };
    let open = [&strict, &lenient]
        .into_iter()
        .flat_map(|read| reads(read))
        .any(|read| holds_without.iter().any(|after| text.contains(&format!("{read}{after}"))));
    if open && text.contains(" or ") {
        return Some(format!(
            "holds when {setting} is not set: a session that does not say who it is sees every tenant's rows"
        ));
    }
    if text.contains(&strict) {
        return Some(format!(
            "reads {setting} without missing_ok: a session that never set it gets an error instead of no rows"
        ));
    }
    let cast = text.match_indices(&format!("({lenient})::")).any(|(at, found)| {
        let rest = &text[at + found.len()..];
        !["text", "character varying", "bpchar", "name"].iter().any(|kind| rest.starts_with(kind))
    });
    cast.then(|| {
        format!(
            "casts {setting} without NULLIF: on a pooled connection it is '', which is an error \
        instead of no rows"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: &str = "app.clinic_id";

    #[test]
    fn a_read_that_survives_an_unset_and_an_empty_setting_has_no_flaw() {
        for expression in [
            "(clinic_id = (NULLIF(current_setting('app.clinic_id'::text, true), ''::text))::uuid)",
            "(clinic_id = ( SELECT (NULLIF(current_setting('app.clinic_id'::text, true), ''::text))::uuid AS \
                \"nullif\"))",
            "((clinic_id)::text = current_setting('app.clinic_id'::text, true))",
            "(clinic_id = (current_setting('app.clinic_id'::text, true))::text)",
            "(current_setting('app.other'::text) = 'x'::text)",
        ] {
            assert_eq!(flaw(expression, SETTING), None, "{expression}");
        }
    }

    #[test]
    fn each_way_to_fail_is_told_from_the_others() {
        for (expression, part) in [
            ("(clinic_id = (current_setting('app.clinic_id'::text))::uuid)", "without missing_ok"),
            ("(clinic_id = (current_setting('app.clinic_id'::text, true))::uuid)", "without NULLIF"),
            ("((current_setting('app.clinic_id'::text, true) IS NULL) OR (clinic_id = 1))", "is not set"),
            (
                "((COALESCE(current_setting('app.clinic_id'::text, true), ''::text) = ''::text) OR \
                    (clinic_id = 1))",
                "is not set",
            ),
        ] {
            assert!(
                flaw(expression, SETTING).is_some_and(|flaw| flaw.contains(part)),
                "{expression}: {:?}",
                flaw(expression, SETTING)
            );
        }
    }
}
