//! What others say should be found: the published rules of Supabase's splinter in words of our own, for any
//! role and any schemas. Each names the objects as the checks do that say the same.

/// A rule, and the findings that say the same.
pub struct Rule {
    /// As its authors call it.
    pub name: &'static str,
    /// The check that says the same, and a part of its message where it says other things too.
    pub check: &'static str,
    pub says: &'static str,
    /// The check names indexes and the rule tables.
    pub by_table: bool,
    /// Answers objects; `{schemas}` is an array, `{app}` the application's role, `{tenant}` the tenant
    /// column.
    pub sql: &'static str,
}

/// The policies with their expressions as PostgreSQL prints them.
macro_rules! policies {
    ($rest:literal) => {
        concat!(
            "SELECT DISTINCT n.nspname || '.' || c.relname FROM pg_policy p JOIN pg_class c ON c.oid = \
                p.polrelid \
               JOIN pg_namespace n ON n.oid = c.relnamespace, \
               LATERAL (SELECT pg_get_expr(p.polqual, p.polrelid) AS seen, pg_get_expr(p.polwithcheck, \
               p.polrelid) AS written) e \
             WHERE n.nspname = ANY({schemas}) AND c.relrowsecurity AND ",
            $rest
        )
    };
}

/// The views of this kind that the application may read.
macro_rules! readable {
    ($kind:literal, $rest:literal) => {
        concat!(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = \
                c.relnamespace \
               JOIN pg_roles a ON a.rolname = '{app}' WHERE c.relkind = '",
            $kind,
            "' AND n.nspname = ANY({schemas}) AND has_table_privilege(a.oid, c.oid, 'SELECT')",
            $rest
        )
    };
}

pub const RULES: &[Rule] = &[
    Rule {
        name: "unindexed_foreign_keys",
        check: "foreign-key-indexed",
        says: "",
        by_table: false,
        sql: "SELECT DISTINCT n.nspname || '.' || c.relname FROM pg_constraint k JOIN pg_class c ON c.oid = \
            k.conrelid \
                JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f' AND n.nspname = \
                ANY({schemas}) \
                AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid \
                  AND (string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality(k.conkey)] = k.conkey)",
    },
    Rule {
        name: "no_primary_key",
        check: "primary-key",
        says: "",
        by_table: false,
        sql: "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = \
            c.relnamespace \
                WHERE c.relkind = 'r' AND n.nspname = ANY({schemas}) \
                AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)",
    },
    Rule {
        name: "rls_disabled_in_public",
        check: "rls-enabled",
        says: "",
        by_table: false,
        sql: "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = \
            c.relnamespace \
                JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = '{tenant}' AND NOT t.attisdropped \
                JOIN pg_roles a ON a.rolname = '{app}' WHERE c.relkind = 'r' AND n.nspname = ANY({schemas}) \
                AND NOT c.relrowsecurity \
                AND has_any_column_privilege(a.oid, c.oid, 'SELECT, INSERT, UPDATE')",
    },
    Rule {
        name: "policy_exists_rls_disabled",
        check: "rls-enabled",
        says: "so ",
        by_table: false,
        sql: "SELECT DISTINCT n.nspname || '.' || c.relname FROM pg_policy p JOIN pg_class c ON c.oid = \
            p.polrelid \
                JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY({schemas}) AND NOT \
                c.relrowsecurity",
    },
    Rule {
        name: "rls_enabled_no_policy",
        check: "rls-policies",
        says: "row-level security is on and there is no policy",
        by_table: false,
        sql: "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = \
            c.relnamespace \
                WHERE c.relkind = 'r' AND n.nspname = ANY({schemas}) AND c.relrowsecurity \
                AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)",
    },
    Rule {
        name: "rls_policy_always_true",
        check: "rls-policies",
        says: "lets every tenant's rows through",
        by_table: false,
        sql: policies!(
            "p.polpermissive AND (regexp_replace(lower(e.seen), '[\\s()]', '', 'g') IN ('true', '1=1') \
               OR regexp_replace(lower(e.written), '[\\s()]', '', 'g') IN ('true', '1=1'))"
        ),
    },
    Rule {
        name: "auth_rls_initplan",
        check: "rls-per-row",
        says: "",
        by_table: false,
        sql: policies!(
            "EXISTS (SELECT FROM unnest(ARRAY[lower(e.seen), lower(e.written)]) AS x(text) \
               WHERE x.text LIKE '%current_setting(%' AND x.text NOT LIKE '%select %current_setting(%')"
        ),
    },
    Rule {
        name: "duplicate_index",
        check: "index-redundant",
        says: "has the same keys as",
        by_table: true,
        sql: "SELECT DISTINCT n.nspname || '.' || t.relname FROM pg_index i \
                JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE \
                n.nspname = ANY({schemas}) \
                GROUP BY n.nspname, t.oid, t.relname, i.indisunique, substring(pg_get_indexdef(i.indexrelid) \
                FROM ' ON .*') HAVING count(*) > 1",
    },
    Rule {
        name: "invalid_index",
        check: "index-valid",
        says: "",
        by_table: false,
        sql: "SELECT n.nspname || '.' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND n.nspname = \
                ANY({schemas})",
    },
    Rule {
        name: "security_definer_view",
        check: "rls-view",
        says: "with the rights of its owner",
        by_table: false,
        sql: readable!(
            "v",
            " AND NOT COALESCE('security_invoker=true' = ANY(c.reloptions) OR 'security_invoker=on' = \
                ANY(c.reloptions), false)"
        ),
    },
    Rule {
        name: "materialized_view_in_api",
        check: "rls-view",
        says: "nothing filters that by tenant",
        by_table: false,
        sql: readable!("m", ""),
    },
    Rule {
        name: "authenticated_security_definer_function_executable",
        check: "rls-function",
        says: "",
        by_table: false,
        sql: "SELECT n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || \
            ')' FROM pg_proc p \
                JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles a ON a.rolname = '{app}' \
                WHERE p.prosecdef AND n.nspname = ANY({schemas}) AND has_function_privilege(a.oid, p.oid, \
                'EXECUTE')",
    },
];

/// A difference that is known, and where `docs/cross-check.md` says why.
pub struct Known {
    /// The row of the table.
    pub id: &'static str,
    /// Of splinter, or an assertion of pgTAP.
    pub rule: &'static str,
    /// What was broken, or a part of it.
    pub when: &'static str,
    /// The object begins with this.
    pub object: &'static str,
    /// Found by Sluice and not by the rule; otherwise the other way round.
    pub ours: bool,
}
