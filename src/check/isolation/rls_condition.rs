//! What a policy lets the application see is the tenant's, by its very text.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgConnection};

use super::{
    condition::{self, Comparison},
    rls_policies::{self, Command, Policy, Table},
};
use crate::{
    api::{CheckId, Finding, RowLevelSecurity, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsCondition,
    title: "Every policy that applies to the application compares the tenant column with the tenant's \
        setting",
    condition: "A permissive policy for a command that the application may use on a tenant table lets a row \
        through without `tenant_column = value`, where \
                the value is made of `spec.verify.rowLevelSecurity.tenant.setting` alone: \
                `NULLIF(current_setting('setting', true), '')`, with a cast, in a \
                `(SELECT …)`, or from a function without arguments in SQL whose body is one such SELECT. The \
                comparison must stand in each part that is joined by OR. \
                It is not asked for where a restrictive policy makes it. A policy that says `true`, with no \
                restrictive one beside it, is the subject of \
                `rls-policies`.",
    effect: "Unproven: the condition may be just as good (a table of members, a claim of a token), or hold \
        for whom the probe is not, when the probe does not \
             look: for a SESSION_USER, while another setting is on, for one value of a column, for a tenant \
             whose name begins like another's.",
    remedy: "Compare the tenant column by `=` in each permissive policy; or add one restrictive policy that \
        does, which narrows all the others. Where the \
             condition is right as it is, read it: no check does.",
    severity: Severity::Warning,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// Functions and tables, PostgreSQL's own aside, that policies read. A function without arguments in SQL
/// comes with its text.
const SQL: &str = tenancy::tenants!(
    "SELECT DISTINCT t.schema, t.name AS table, p.polname::text AS policy, COALESCE(f.proname, \
    c.relname)::text AS name, f.oid IS NOT \
        NULL AS is_function, \
            CASE WHEN l.lanname = 'sql' AND f.pronargs = 0 AND NOT f.proretset THEN f.prosrc END AS text \
     FROM tenant_tables t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid \
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = \
     p.oid \
     LEFT JOIN pg_catalog.pg_proc f ON d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND f.oid = \
     d.refobjid \
     LEFT JOIN pg_catalog.pg_language l ON l.oid = f.prolang \
     LEFT JOIN pg_catalog.pg_class c ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid \
     = d.refobjid AND c.oid <> t.oid \
     WHERE t.enabled AND (f.oid IS NOT NULL OR c.oid IS NOT NULL) ORDER BY 1, 2, 3, 4"
);

/// Something that a policy reads, and the policy.
#[derive(FromRow)]
struct Row {
    schema: String,
    table: String,
    policy: String,
    #[sqlx(flatten)]
    asks: Asks,
}

/// Something that a policy reads, beside the row.
#[derive(FromRow)]
struct Asks {
    name: String,
    is_function: bool,
    /// The text of a function that might answer with the tenant.
    text: Option<String>,
}

/// What each policy reads, by schema, table and policy.
type WhatPoliciesAsk = BTreeMap<(String, String, String), Vec<Asks>>;

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let tables = rls_policies::read(&mut *connection, scope, security).await?;
    let rows: Vec<Row> =
        tenancy::rows(SQL, scope, security).fetch_all(connection).await.context("read what policies ask")?;
    let mut expected = WhatPoliciesAsk::new();
    for Row { schema, table, policy, asks } in rows {
        expected.entry((schema, table, policy)).or_default().push(asks);
    }
    Ok(tables.iter().flat_map(|table| judge(table, &expected, security)).collect())
}

fn judge(table: &Table, expected: &WhatPoliciesAsk, security: &RowLevelSecurity) -> Vec<Finding> {
    let asks = |policy: &Policy| {
        expected
            .get(&(table.schema.clone(), table.name.clone(), policy.name.clone()))
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    let proven = |policy: &Policy, clause: &str| {
        let functions = values(asks(policy), security);
        let comparison = Comparison {
            column: &security.tenant.column,
            setting: &security.tenant.setting,
            functions: &functions,
        };
        comparison.is_made_by(clause)
    };
    let applying: Vec<_> = table.policies.iter().filter(|policy| policy.applies).collect();
    let open = |policy: &Policy, command: Command, clause: fn(&Policy) -> Option<&str>| {
        let Some(text) = clause(policy) else { return false };
        let mut narrowing = applying.iter().filter(|other| !other.permissive && other.is_for(command));
        let narrowed = narrowing.clone().any(|other| clause(other).is_some_and(|text| text != "true"));
        let said_elsewhere = text == "true" && !narrowed;
        !said_elsewhere
            && !proven(policy, text)
            && !narrowing.any(|other| clause(other).is_some_and(|text| proven(other, text)))
    };
    let commands = |policy: &Policy| {
        table.granted.iter().copied().filter(|command| policy.is_for(*command)).collect::<Vec<_>>()
    };
    let unproven = |policy: &Policy| {
        commands(policy).into_iter().any(|command| {
            (command.reads() && open(policy, command, |policy| policy.using.as_deref()))
                || (command.writes() && open(policy, command, Policy::effective_check))
        })
    };
    let permissive = applying.iter().filter(|policy| policy.permissive);
    permissive
        .filter(|policy| unproven(policy))
        .map(|policy| finding(table, policy, asks(policy), security))
        .collect()
}

/// The functions that answer with the tenant's setting and nothing else. One of two with the same name is
/// none.
fn values(asks: &[Asks], security: &RowLevelSecurity) -> Vec<String> {
    let comparison =
        Comparison { column: &security.tenant.column, setting: &security.tenant.setting, functions: &[] };
    let is_value = |asks: &Asks| asks.text.as_deref().is_some_and(|text| comparison.is_value(text));
    let functions = || asks.iter().filter(|asks| asks.is_function);
    let known = functions().filter(|one| functions().filter(|other| other.name == one.name).all(is_value));
    known.map(|asks| asks.name.clone()).collect()
}

fn finding(table: &Table, policy: &Policy, asks: &[Asks], security: &RowLevelSecurity) -> Finding {
    let (column, setting) = (&security.tenant.column, &security.tenant.setting);
    let values = values(asks, security);
    let clauses = policy.using.iter().map(String::as_str).chain(policy.effective_check());
    let mut what: Vec<_> = clauses.flat_map(|clause| condition::asks(clause, setting)).collect();
    let others = asks.iter().filter(|asks| !values.contains(&asks.name));
    what.extend(others.map(|asks| {
        if asks.is_function { format!("{}()", asks.name) } else { format!("the table {}", asks.name) }
    }));
    what.sort();
    what.dedup();
    let and = if what.is_empty() { String::new() } else { format!("; it reads {}", sql::few(&what, 4)) };
    let message =
        format!("unproven: the policy {} lets rows through without {column} = {setting}{and}", policy.name);
    let remedy = format!(
        "ALTER POLICY {} ON {} so that it compares {column} with NULLIF(current_setting('{setting}', true), \
            ''), or add a RESTRICTIVE policy that does",
        sql::identifier(&policy.name),
        sql::qualified(&table.schema, &table.name)
    );
    META.finding(format!("{}.{}", table.schema, table.name), message, remedy)
}
