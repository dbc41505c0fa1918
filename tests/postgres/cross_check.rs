//! The checks beside three things that were not written here: the rules of splinter, the assertions of pgTAP,
//! and what `psql \d` prints. Both are asked of the same database, clean and broken in every way, and must
//! name the same objects. What differs has a row in `docs/cross-check.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sluice::{
    api::Finding,
    check,
    inspect::{Aspect, Scope},
    postgres::Transaction,
};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::{
    check_clinic::Clinic,
    check_controls::CONTROLS,
    check_structure::assertions,
    cross_rules::{Known, RULES, Rule},
    cross_tap::Tap,
    platform_stand::{Platform, Stand},
    platforms::{ELDERLY_CARE, MEDICAL_RECORDS, NEONPRO, SERVICES, SMARTMED},
    server::execute,
};

type Objects = BTreeSet<String>;

/// Differences that are as they should be; `docs/cross-check.md` says why.
const KNOWN: &[Known] = &[
    Known { id: "D1", rule: "no_primary_key", when: "", object: "public.access_log_", ours: false },
    Known {
        id: "D1",
        rule: "no_primary_key",
        when: "audit_log_ledger",
        object: "public.audit_log_",
        ours: false,
    },
    Known { id: "D2", rule: "no_primary_key", when: "", object: "public.access_log", ours: true },
    Known {
        id: "D2",
        rule: "no_primary_key",
        when: "audit_log_ledger",
        object: "public.audit_log_ledger",
        ours: true,
    },
    Known {
        id: "D3",
        rule: "unindexed_foreign_keys",
        when: "order of an index",
        object: "public.visits",
        ours: false,
    },
    Known {
        id: "D4",
        rule: "unindexed_foreign_keys",
        when: "partial index",
        object: "public.visits",
        ours: true,
    },
    Known {
        id: "D4",
        rule: "unindexed_foreign_keys",
        when: "idx_medical_records",
        object: "clinical.medical_records",
        ours: true,
    },
    Known {
        id: "D4",
        rule: "unindexed_foreign_keys",
        when: "idx_lgpd_consents",
        object: "compliance.lgpd_consents",
        ours: true,
    },
    Known {
        id: "D5",
        rule: "rls_enabled_no_policy",
        when: "DROP POLICY",
        object: "public.practices",
        ours: false,
    },
    Known {
        id: "D5",
        rule: "rls_enabled_no_policy",
        when: "without rows of tenants",
        object: "public.plain",
        ours: false,
    },
    Known {
        id: "D6",
        rule: "rls_disabled_in_public",
        when: "a_new_table",
        object: "public.notes",
        ours: true,
    },
    Known {
        id: "D7",
        rule: "rls_disabled_in_public",
        when: "without_the_tenant_column",
        object: "public.clinics",
        ours: true,
    },
    Known {
        id: "D7",
        rule: "rls_disabled_in_public",
        when: "DISABLE",
        object: "public.practices",
        ours: true,
    },
    Known { id: "D7", rule: "rls_disabled_in_public", when: "DISABLE", object: "core.clinics", ours: true },
    Known { id: "D8", rule: "rls_disabled_in_public", when: "", object: "public.access_log_", ours: false },
    Known { id: "D9", rule: "auth_rls_initplan", when: "", object: "public.", ours: false },
    Known {
        id: "D10",
        rule: "auth_rls_initplan",
        when: "calls_a_function",
        object: "public.visits",
        ours: true,
    },
    Known {
        id: "D11",
        rule: "rls_policy_always_true",
        when: "for the migrator alone",
        object: "public.visits",
        ours: false,
    },
    Known {
        id: "D11",
        rule: "rls_policy_always_true",
        when: "whose_owner_a_policy_lets_through",
        object: "public.visits",
        ours: false,
    },
    Known { id: "D12", rule: "duplicate_index", when: "interrupted", object: "public.visits", ours: false },
    Known {
        id: "D13",
        rule: "security_definer_view",
        when: "view of no tenant",
        object: "public.names",
        ours: false,
    },
    Known {
        id: "D14",
        rule: "security_definer_view",
        when: "behind_a_view",
        object: "public.agenda",
        ours: false,
    },
    Known {
        id: "D14",
        rule: "security_definer_view",
        when: "behind_a_view",
        object: "public.inner_agenda",
        ours: true,
    },
    Known {
        id: "D14",
        rule: "security_definer_view",
        when: "a_view_leads_to",
        object: "public.inside",
        ours: true,
    },
    Known {
        id: "D15",
        rule: "materialized_view_in_api",
        when: "of no tenant",
        object: "public.names",
        ours: false,
    },
    Known {
        id: "D16",
        rule: "authenticated_security_definer_function_executable",
        when: "bound owner",
        object: "public.harmless",
        ours: false,
    },
    Known {
        id: "D17",
        rule: "policies_are",
        when: "DROP POLICY",
        object: "compliance.access_log",
        ours: false,
    },
    Known { id: "D18", rule: "policies_are", when: "DROP POLICY", object: "core.clinics", ours: false },
    Known { id: "D18", rule: "policies_are", when: "DROP POLICY", object: "public.practices", ours: false },
    Known {
        id: "D19",
        rule: "rls_policy_always_true",
        when: "restrictive_policy_leaves_out",
        object: "public.visits",
        ours: false,
    },
    Known {
        id: "D20",
        rule: "rls_disabled_in_public",
        when: "that_inherits",
        object: "archive.old_visits",
        ours: true,
    },
];

/// The first column of what a query answers.
pub async fn objects(session: &mut PgConnection, sql: &str) -> Objects {
    let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(session).await;
    rows.unwrap_or_else(|error| panic!("{error}\nin {sql}"))
        .iter()
        .map(|row| row.get::<String, _>(0))
        .collect()
}

/// What Sluice finds, as the role that migrates, inside the transaction that is open.
async fn findings(session: &mut PgConnection, scope: &Scope, role: &str, aspects: &[Aspect]) -> Vec<Finding> {
    execute(session, &format!("SET LOCAL ROLE {role}")).await;
    let mut transaction = Transaction::of_open(session).await.expect("an open transaction");
    let found = check::run(&mut transaction, scope, aspects).await.expect("the checks can be carried out");
    execute(session, "RESET ROLE").await;
    found
}

/// The differences between each rule and its check that no row of the table explains, each as `rule: object`.
async fn differences(
    session: &mut PgConnection,
    scope: &Scope,
    found: &[Finding],
    when: &str,
    used: &mut BTreeSet<&'static str>,
) -> Vec<String> {
    let tables = by_index(session).await;
    let security = scope.row_level_security.as_ref();
    let mut left = Vec::new();
    for rule in RULES {
        if security.is_none() && rule.check.starts_with("rls-") {
            continue;
        }
        let (app, tenant) = security
            .map_or(("", ""), |security| (security.app_role.as_str(), security.tenant.column.as_str()));
        let schemas = format!("'{{{}}}'::text[]", scope.schemas.join(","));
        let theirs = objects(
            session,
            &rule.sql.replace("{schemas}", &schemas).replace("{app}", app).replace("{tenant}", tenant),
        )
        .await;
        let ours = said(rule, found, &tables);
        for object in theirs.symmetric_difference(&ours) {
            left.extend(unknown((rule.name, object, ours.contains(object)), when, used));
        }
    }
    left
}

/// The difference in words, when no row of the table explains it.
fn unknown(
    (rule, object, ours): (&str, &str, bool),
    when: &str,
    used: &mut BTreeSet<&'static str>,
) -> Option<String> {
    let fits = |known: &&Known| {
        known.rule == rule
            && known.ours == ours
            && when.contains(known.when)
            && object.starts_with(known.object)
    };
    if let Some(known) = KNOWN.iter().find(fits) {
        used.insert(known.id);
        return None;
    }
    Some(format!("{when}: {} finds {object} ({rule})", if ours { "only Sluice" } else { "Sluice never" }))
}

fn said(rule: &Rule, found: &[Finding], tables: &BTreeMap<String, String>) -> Objects {
    let says = |finding: &&Finding| finding.check.name() == rule.check && finding.message.contains(rule.says);
    let object = |finding: &Finding| match tables.get(&finding.object) {
        Some(table) if rule.by_table => table.clone(),
        _ => finding.object.clone(),
    };
    found.iter().filter(says).map(object).collect()
}

/// The table of each index.
async fn by_index(session: &mut PgConnection) -> BTreeMap<String, String> {
    let sql = "SELECT n.nspname || '.' || c.relname, n.nspname || '.' || t.relname FROM pg_index i JOIN \
        pg_class c ON c.oid = i.indexrelid \
               JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace";
    let rows = sqlx::query(sql).persistent(false).fetch_all(session).await.expect("indexes");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

const ASPECTS: [Aspect; 3] = [Aspect::Isolation, Aspect::Index, Aspect::Structure];

#[tokio::test]
async fn the_rules_of_splinter_find_the_same_in_a_clinic_that_is_broken_in_every_way() {
    let mut clinic = Clinic::with_rows("splinter").await;
    clinic.scope.assertions = assertions(&json!({"conventions": {}}));
    let (mut session, mut used, mut left) = (clinic.superuser_session().await, BTreeSet::new(), Vec::new());
    let more = [
        ("order of an index", "DROP INDEX visits_patient; CREATE INDEX ON visits (patient_id, clinic_id)"),
        (
            "partial index",
            "DROP INDEX visits_patient; CREATE INDEX ON visits (clinic_id, patient_id) WHERE status = 'open'",
        ),
        ("two indexes alike", "CREATE INDEX visits_same ON visits (clinic_id, patient_id)"),
        ("index and constraint alike", "CREATE UNIQUE INDEX clinics_same ON clinics (name)"),
        (
            "view of no tenant",
            "SET ROLE {migrator}; CREATE VIEW names AS SELECT name FROM clinics; GRANT SELECT ON names TO \
                {app}",
        ),
        (
            "stored view of no tenant",
            "SET ROLE {migrator}; CREATE MATERIALIZED VIEW names AS SELECT name FROM clinics; GRANT SELECT \
                ON names TO {app}",
        ),
        (
            "function of a bound owner",
            "CREATE ROLE {app}_x; GRANT CREATE ON SCHEMA public TO {app}_x; SET ROLE {app}_x; \
            CREATE FUNCTION harmless() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS \
            'SELECT 1'",
        ),
        (
            "table without rows of tenants",
            "CREATE TABLE plain (id int); ALTER TABLE plain ENABLE ROW LEVEL SECURITY",
        ),
        ("policy for the migrator alone", "CREATE POLICY all_rows ON visits TO {migrator} USING (true)"),
        ("policy that is restrictive", "CREATE POLICY narrow ON visits AS RESTRICTIVE USING (true)"),
        (
            "setting in a subquery of rows",
            "ALTER POLICY tenant ON visits USING (clinic_id IN (SELECT id FROM clinics WHERE id = \
                NULLIF(current_setting('app.clinic_id', true), '')::uuid))",
        ),
    ];
    // Without its schema there is nothing to compare.
    let broken = CONTROLS
        .iter()
        .filter(|control| control.check != "schema-exists")
        .map(|control| (control.name, control.breaks))
        .chain(more);
    for (name, breaks) in std::iter::once(("clean", "SELECT")).chain(broken) {
        execute(&mut session, &format!("BEGIN; {}; RESET ROLE", clinic.text(breaks))).await;
        let found = findings(&mut session, &clinic.scope, &clinic.migrator, &ASPECTS).await;
        left.extend(differences(&mut session, &clinic.scope, &found, name, &mut used).await);
        execute(&mut session, "ROLLBACK").await;
    }
    assert!(left.is_empty(), "without a row in docs/cross-check.md:\n{}", left.join("\n"));
    // The others are seen in the platforms.
    let platforms = ["audit_log_ledger", "DROP POLICY", "DISABLE", "idx_"];
    let here = |known: &&Known| !platforms.iter().any(|part| known.when.contains(part));
    let idle: Vec<_> =
        KNOWN.iter().filter(here).map(|known| known.id).filter(|id| !used.contains(id)).collect();
    assert!(idle.is_empty(), "differences that are none any more: {idle:?}");
}

#[test]
fn every_known_difference_is_explained() {
    let page = include_str!("../../docs/cross-check.md");
    for known in KNOWN {
        let row = page.lines().find(|line| line.starts_with(&format!("| {} |", known.id)));
        assert!(
            row.is_some_and(|row| row.contains(known.rule)),
            "docs/cross-check.md has no row {} about {}",
            known.id,
            known.rule
        );
    }
    for rule in RULES {
        assert!(
            page.contains(&format!("`{}`", rule.name)),
            "docs/cross-check.md does not mention {}",
            rule.name
        );
    }
}

/// Breaks each thing of a platform in turn, in a transaction that is rolled back, and asks Sluice, the rules
/// and pgTAP.
async fn platform(platform: &'static Platform) {
    let stand = Stand::new(platform, "cross").await;
    stand.ready(None).await;
    let mut session = stand.database.connect().await;
    let mut scope = Scope::of(&stand.context(None).manifest);
    let tap = Tap::install(&mut session, &scope.schemas).await;
    tap.require_everything(&mut scope);
    let role = stand.role();
    let (mut left, mut used, mut broken) = (Vec::new(), BTreeSet::new(), 0);
    for breaks in std::iter::once("SELECT".to_owned()).chain(tap.breaks()) {
        execute(&mut session, &format!("BEGIN; {breaks}")).await;
        let found = findings(&mut session, &scope, &role, &ASPECTS).await;
        left.extend(differences(&mut session, &scope, &found, &breaks, &mut used).await);
        for (rule, object, ours) in tap.differences(&mut session, &found).await {
            left.extend(unknown((rule, &object, ours), &breaks, &mut used));
        }
        execute(&mut session, "ROLLBACK").await;
        broken += 1;
    }
    println!(
        "{}: {broken} states compared, {} indexes, {} keys, {} tables",
        platform.folder,
        tap.indexes.len(),
        tap.keys.len(),
        tap.tables.len()
    );
    assert!(left.is_empty(), "{}:\n{}", platform.folder, left.join("\n"));
}

#[tokio::test]
async fn pgtap_and_splinter_agree_on_neonpro() {
    platform(&NEONPRO).await;
}

#[tokio::test]
async fn pgtap_and_splinter_agree_on_medical_records() {
    platform(&MEDICAL_RECORDS).await;
}

#[tokio::test]
async fn pgtap_and_splinter_agree_on_smartmed() {
    platform(&SMARTMED).await;
}

#[tokio::test]
async fn pgtap_and_splinter_agree_on_elderly_care() {
    platform(&ELDERLY_CARE).await;
}

#[tokio::test]
async fn pgtap_and_splinter_agree_on_the_api_of_global_healthcare() {
    platform(&SERVICES[1]).await;
}
