//! The verify stage alone, and what it found as a report. Changes nothing.

use jiff::Timestamp;

use super::{Context, run, survey};
use crate::{
    api::{CheckId, Finding, Reason, Severity},
    check::{self, STAGE_CHECKS, StageCheck},
    contract::{Outcome, Stage},
    inspect::{Aspect, Meta, Scope},
    postgres::connect,
    report::{
        self, CheckResult, CheckVerdict, Counts, Isolation, Report, Requested, Schema, Tenancy, Verdict,
    },
    validate::{SnapshotPolicy, ValidatedMigration},
};

/// Verifies and reports. `at` is when.
pub async fn report(context: &Context, at: Timestamp) -> Report {
    let outcome = run(Stage::Verify, context, &[]).await;
    report_of(context, at, outcome).await
}

/// The report of a verification that was carried out.
pub(super) async fn report_of(context: &Context, at: Timestamp, mut outcome: Outcome) -> Report {
    let unreachable = [
        Reason::ConnectionInvalid,
        Reason::ConnectionFailed,
        Reason::DatabaseNotFound,
        Reason::DirectConnectionRequired,
    ]
    .contains(&outcome.reason);
    let (server, schema, unread) = if unreachable {
        (None, None, None)
    } else {
        match inspect(context).await {
            Ok((server, schema)) => (Some(server), Some(schema), None),
            Err(why) => (None, None, Some(why)),
        }
    };
    if outcome.verdict != crate::contract::Verdict::Passed
        && outcome.findings.iter().all(|finding| finding.severity != Severity::Error)
    {
        outcome.findings.insert(0, lost(context, &outcome));
    }
    assemble(context, at, outcome, server, schema, unread)
}

async fn inspect(context: &Context) -> Result<(String, Schema), String> {
    let work = async {
        let url = context.url().map_err(|error| error.to_string())?;
        let mut connection = connect(url, &context.application()).await.map_err(|error| error.to_string())?;
        let history_table = context.history_table().contract;
        let found = survey::survey(
            &mut connection,
            &context.manifest.schemas,
            (&history_table.schema, history_table.table),
        )
        .await;
        found.map_err(|error| error.to_string())
    };
    tokio::time::timeout(context.remaining(), work)
        .await
        .unwrap_or_else(|_| Err("the deadline passed".to_owned()))
}

/// A verification that could not be carried out is an error like any other: its silence must not be taken for
/// a pass.
fn lost(context: &Context, outcome: &Outcome) -> Finding {
    let check = if is_history(outcome.reason) { CheckId::HistoryEqualsSource } else { CheckId::Verification };
    Finding {
        check,
        object: place(context),
        severity: Severity::Error,
        message: outcome.message.clone(),
        remedy: format!("docs/runbooks/{}.md says what to do", outcome.reason.name()),
    }
}

const fn is_history(reason: Reason) -> bool {
    matches!(reason, Reason::HistoryDiverged | Reason::HistoryDirty | Reason::HistoryUntrusted)
}

fn place(context: &Context) -> String {
    context.url.as_ref().map_or_else(|_| "unknown".to_owned(), crate::postgres::ConnectionUrl::place)
}

fn assemble(
    context: &Context,
    at: Timestamp,
    mut outcome: Outcome,
    server: Option<String>,
    mut schema: Option<Schema>,
    unread: Option<String>,
) -> Report {
    let manifest = &context.manifest;
    let looked = matches!(outcome.reason, Reason::Verified | Reason::VerificationFailed);
    if let Some(schema) = &mut schema {
        judge_tables(schema, manifest, &mut outcome, looked);
    }
    let mut checks = checks(&outcome, manifest, looked);
    if let Some(schema) = &schema {
        doubt(&mut checks, schema);
    }
    // What could not be read is not known, and not nothing.
    let applied = outcome.history.as_ref().map(|history| history.applied_count);
    let history = outcome.history.unwrap_or_default();
    Report {
        kind: report::KIND.to_owned(),
        format: 1,
        sluice: env!("CARGO_PKG_VERSION").to_owned(),
        name: manifest.name.clone(),
        namespace: manifest.namespace.clone(),
        database: place(context),
        server,
        at,
        verdict: if outcome.verdict == crate::contract::Verdict::Passed {
            Verdict::Passed
        } else {
            Verdict::Failed
        },
        reason: outcome.reason.name().to_owned(),
        message: outcome.message,
        version: history.current,
        applied,
        pending: history.pending,
        counts: Counts::of(&outcome.findings),
        findings: outcome.findings,
        checks,
        tenancy: manifest.row_level_security.as_ref().map(|security| Tenancy {
            app_role: security.app_role.clone(),
            column: security.tenant.column.clone(),
            setting: security.tenant.setting.clone(),
        }),
        schema,
        unread,
        asked: Some(asked(manifest)),
    }
}

/// Says of each table whether tenants are kept apart in it, by what the checks of isolation found.
fn judge_tables(schema: &mut Schema, manifest: &ValidatedMigration, outcome: &mut Outcome, looked: bool) {
    let isolation = |id: &CheckId| {
        check::all().any(|check| check.meta.id == *id && check.meta.aspect == Aspect::Isolation)
    };
    let found: Vec<&Finding> = outcome.findings.iter().filter(|finding| isolation(&finding.check)).collect();
    report::judge_isolation(
        &mut schema.tables,
        manifest.row_level_security.as_ref(),
        looked.then_some(found.as_slice()),
    );
    let contradictions = contradictions(schema, &found);
    contradict(outcome, contradictions);
}

/// What the schema shows to be exposed and no check has found: one of the two was deceived, or the schema
/// changed in between. PURE.
fn contradictions(schema: &Schema, found: &[&Finding]) -> Vec<Finding> {
    let errors: Vec<_> = found.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let of_a_table = |finding: &Finding| schema.tables.iter().any(|table| table.object() == finding.object);
    if errors.iter().any(|finding| !of_a_table(finding)) {
        // About the application's role, for instance: it concerns every table.
        return Vec::new();
    }
    let exposed =
        schema.tables.iter().filter(|table| table.isolation == Isolation::Exposed).map(report::Table::object);
    let unsaid = exposed.filter(|object| errors.iter().all(|finding| finding.object != *object));
    let contradiction = |object: String| Finding {
        check: CheckId::Verification,
        object,
        severity: Severity::Error,
        message: "row-level security is off here, and the checks of row-level security passed: they and the \
            schema contradict each other"
            .to_owned(),
        remedy: "verify again; if it stays, another role deceives the checks, and nothing they say about \
            this database is true"
            .to_owned(),
    };
    unsaid.map(contradiction).collect()
}

/// A verification that contradicts itself has failed.
fn contradict(outcome: &mut Outcome, contradictions: Vec<Finding>) {
    let Some(first) = contradictions.first() else { return };
    if outcome.verdict == crate::contract::Verdict::Passed {
        outcome.verdict = crate::contract::Verdict::Failed;
        outcome.reason = Reason::VerificationFailed;
        outcome.message = format!("{}: {}", first.object, first.message);
    }
    outcome.findings.splice(0..0, contradictions);
}

/// Attempts that all failed are no pass while anything else calls a table exposed: to its owner, through a
/// role, or because no policy applies at all. PURE.
fn doubt(checks: &mut [CheckResult], schema: &Schema) {
    let exposed = schema.tables.iter().any(|table| table.isolation == Isolation::Exposed);
    for check in checks.iter_mut().filter(|check| check.id == CheckId::TenantIsolation && exposed) {
        check.verdict = CheckVerdict::Failed;
    }
}

/// What the manifest asks for, as far as the checks do not say it by themselves. PURE.
fn asked(manifest: &ValidatedMigration) -> Requested {
    let (snapshot, keep, waived) = match &manifest.snapshot {
        SnapshotPolicy::Dump { read_back, keep, .. } => (Some(*read_back), keep.clone(), None),
        SnapshotPolicy::Waived(reason) => (None, None, Some(reason.clone())),
    };
    let assertions = &manifest.assertions;
    Requested {
        snapshot,
        keep,
        waived,
        every: manifest.verify_every,
        tables: assertions.tables.require.iter().map(|table| table.name.clone()).collect(),
        audit_columns: assertions
            .conventions
            .iter()
            .flat_map(|names| &names.audit_columns)
            .map(|column| column.name.clone())
            .collect(),
        questions: assertions.queries.iter().map(|query| query.name.clone()).collect(),
        drift_ignored: manifest.drift.iter().flat_map(|drift| drift.ignore.clone()).collect(),
    }
}

/// Every check with its verdict: the history first, then the rest in the order of a report, then what else
/// was found.
fn checks(outcome: &Outcome, manifest: &ValidatedMigration, looked: bool) -> Vec<CheckResult> {
    let (history, drift): (Vec<_>, Vec<_>) =
        STAGE_CHECKS.iter().partition(|beside| beside.meta.aspect == Aspect::History);
    let mut checks: Vec<CheckResult> =
        history.into_iter().filter_map(|check| beside(check, manifest, outcome)).collect();
    let scope = Scope::of(manifest);
    checks.extend(check::all().map(|check| result(check.meta, check.is_enabled(&scope))));
    checks.extend(drift.into_iter().filter_map(|check| beside(check, manifest, outcome)));
    for finding in &outcome.findings {
        if checks.iter().all(|check| check.id != finding.check) {
            let title = if finding.check == CheckId::Verification {
                "The verification can be carried out"
            } else {
                "The source and the history fit each other"
            };
            checks.push(CheckResult { title: title.to_owned(), ..CheckResult::plain(finding.check.clone()) });
        }
    }
    for check in &mut checks {
        judge(check, &outcome.findings, looked);
    }
    checks
}

/// What a check is, passed as long as nothing was found.
fn result(meta: &Meta, is_enabled: bool) -> CheckResult {
    CheckResult {
        id: meta.id.clone(),
        aspect: meta.aspect.word().to_owned(),
        verdict: if is_enabled { CheckVerdict::Passed } else { CheckVerdict::NotAsked },
        findings: 0,
        title: meta.title.to_owned(),
        condition: meta.condition.to_owned(),
        effect: meta.effect.to_owned(),
        remedy: meta.remedy.to_owned(),
    }
}

/// A check that this stage carries out itself. One that no verification asks for has a row only when it found
/// something.
fn beside(check: &StageCheck, manifest: &ValidatedMigration, outcome: &Outcome) -> Option<CheckResult> {
    let found = outcome.findings.iter().any(|finding| finding.check == check.meta.id);
    let is_enabled = check.when.is_enabled(manifest).or(found.then_some(true))?;
    Some(result(&check.meta, is_enabled))
}

/// From the findings of a check to its verdict. Silence is a pass only when the check was made. PURE.
fn judge(check: &mut CheckResult, findings: &[Finding], looked: bool) {
    let found = findings.iter().filter(|finding| finding.check == check.id);
    check.findings = found.clone().count();
    let worst = found.map(|finding| finding.severity).min();
    check.verdict = match (worst, check.verdict) {
        (Some(Severity::Error), _) => CheckVerdict::Failed,
        (None, CheckVerdict::Passed) if !looked => CheckVerdict::Unknown,
        (Some(Severity::Warning), _) => CheckVerdict::Warned,
        (_, verdict) => verdict,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::DriftVerification, validate::validate};

    fn manifest() -> ValidatedMigration {
        let object = serde_json::json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
            "spec": {"database": {"secretRef": {"name": "records-db"}}, "migrations": {"configMaps": ["records"]},
                     "snapshot": {"none": {"reason": "a throw-away database"}}}
        });
        validate(&serde_json::from_value(object).expect("a DatabaseMigration")).expect("a valid manifest")
    }

    fn verdicts(outcome: &Outcome, looked: bool) -> Vec<(CheckId, CheckVerdict)> {
        checks(outcome, &manifest(), looked).into_iter().map(|check| (check.id, check.verdict)).collect()
    }

    #[test]
    fn a_table_that_is_exposed_and_that_no_check_has_found_fails_the_verification() {
        let (kind, isolation) = (report::TableKind::Table, Isolation::Exposed);
        let table = report::Table {
            schema: "public".into(),
            name: "visits".into(),
            kind,
            owner: "owner".into(),
            rows: None,
            enabled: false,
            forced: false,
            isolation,
            columns: Vec::new(),
            policies: Vec::new(),
            indexes: Vec::new(),
        };
        let schema = Schema { tables: vec![table], relations: Vec::new() };
        let error = |object: &str| Finding {
            check: CheckId::RlsEnabled,
            object: object.into(),
            severity: Severity::Error,
            message: "m".into(),
            remedy: "r".into(),
        };
        assert_eq!(contradictions(&schema, &[&error("public.visits")]), [], "a check said so");
        assert_eq!(
            contradictions(&schema, &[&error("records_app")]),
            [],
            "the role is what exposes every table"
        );
        let mut outcome = Outcome::passed(Stage::Verify, Reason::Verified, "as meant");
        contradict(&mut outcome, contradictions(&schema, &[]));
        assert_eq!(
            (outcome.verdict, outcome.reason),
            (crate::contract::Verdict::Failed, Reason::VerificationFailed)
        );
        assert!(
            outcome.message.starts_with("public.visits: row-level security is off here"),
            "{}",
            outcome.message
        );
    }

    #[test]
    fn a_check_that_nobody_could_ask_is_unknown_and_one_that_nobody_wanted_is_not_asked() {
        let outcome = Outcome::failed(Stage::Verify, Reason::StageFailed, "cut off");
        let found = verdicts(&outcome, false);
        assert!(found.contains(&(CheckId::IndexValid, CheckVerdict::Unknown)), "{found:?}");
        assert!(found.contains(&(CheckId::RlsEnabled, CheckVerdict::NotAsked)), "{found:?}");
    }

    #[test]
    fn a_warning_alone_does_not_fail_a_check_and_a_finding_of_no_check_has_a_row() {
        let mut outcome = Outcome::passed(Stage::Verify, Reason::Verified, "as meant");
        let finding = |check: CheckId, severity| Finding {
            check,
            object: "x".into(),
            severity,
            message: "m".into(),
            remedy: "r".into(),
        };
        outcome.findings = vec![
            finding(CheckId::IndexValid, Severity::Warning),
            finding(CheckId::StrayEntry, Severity::Warning),
        ];
        let found = verdicts(&outcome, true);
        assert!(found.contains(&(CheckId::IndexValid, CheckVerdict::Warned)), "{found:?}");
        assert!(found.contains(&(CheckId::StrayEntry, CheckVerdict::Warned)), "{found:?}");
        assert!(found.contains(&(CheckId::SchemaExists, CheckVerdict::Passed)), "{found:?}");
    }

    #[test]
    fn what_another_line_calls_exposed_is_not_passed() {
        let mut manifest = manifest();
        let tenant = crate::api::Tenant { column: "clinic_id".into(), setting: "app.clinic_id".into() };
        manifest.row_level_security =
            Some(crate::api::RowLevelSecurity { app_role: "app".into(), tenant, ..Default::default() });
        let verdict = |isolation| {
            let mut checks =
                checks(&Outcome::passed(Stage::Verify, Reason::Verified, "as meant"), &manifest, true);
            let table = report::Table {
                schema: "s".into(),
                name: "t".into(),
                kind: report::TableKind::Table,
                owner: "o".into(),
                rows: None,
                enabled: true,
                forced: true,
                isolation,
                columns: Vec::new(),
                policies: Vec::new(),
                indexes: Vec::new(),
            };
            doubt(&mut checks, &Schema { tables: vec![table], relations: Vec::new() });
            checks.into_iter().find(|check| check.id == CheckId::TenantIsolation).expect("is listed").verdict
        };
        assert_eq!(
            (verdict(Isolation::Isolated), verdict(Isolation::Exposed)),
            (CheckVerdict::Passed, CheckVerdict::Failed)
        );
    }

    #[test]
    fn the_comparison_with_the_migrations_is_listed_and_passed_only_when_it_was_asked() {
        let outcome = Outcome::passed(Stage::Verify, Reason::Verified, "as meant");
        let mut manifest = manifest();
        let of = |manifest: &ValidatedMigration| {
            let found = checks(&outcome, manifest, true);
            let drift = found.iter().find(|check| check.id == CheckId::SchemaDrift).expect("is listed");
            assert!(found.iter().all(|check| check.id != CheckId::Baseline), "a verification never adopts");
            drift.verdict
        };
        assert_eq!(of(&manifest), CheckVerdict::NotAsked);
        manifest.drift = Some(DriftVerification::default());
        assert_eq!(of(&manifest), CheckVerdict::Passed);
    }
}
