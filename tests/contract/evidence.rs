//! Evidence for regimes: everything is proven only when everything was asked for, checked and found as it
//! should be. Each piece of evidence is taken away in turn, and the duties that rest on it, and no others,
//! are no longer proven.

use jiff::Timestamp;
use serde_json::json;
use sluice::{
    api::{CheckId, DatabaseMigrationStatus, Finding, ReadBack, Severity, Span},
    check::{self, STAGE_CHECKS, When},
    report::{
        CheckResult, CheckVerdict, Column, Counts, Form, Isolation, KIND, Policy, Report, Requested, Schema,
        Table, TableKind, Tenancy, Verdict,
        evidence::{Evidence, NAMES, Part, Piece, Proven, Regime, Subject, named},
    },
};

use crate::golden;

/// What no form may take for its own.
const NASTY: &str = "</title><script>'&|`*_\n\u{1b}[31m\u{202e}";

fn regimes(names: &[&str]) -> Vec<&'static Regime> {
    names.iter().map(|name| named(name).unwrap_or_else(|| panic!("no regime {name}"))).collect()
}

fn check(id: &CheckId, verdict: CheckVerdict) -> CheckResult {
    let text = String::new;
    CheckResult {
        id: id.clone(),
        aspect: text(),
        verdict,
        findings: 0,
        title: text(),
        condition: text(),
        effect: text(),
        remedy: text(),
    }
}

fn table(name: &str, isolation: Isolation) -> Table {
    Table {
        schema: "clinical".into(),
        name: name.into(),
        kind: TableKind::Table,
        owner: "migrator".into(),
        rows: None,
        enabled: true,
        forced: true,
        isolation,
        columns: vec![Column {
            name: "clinic_id".into(),
            type_: "uuid".into(),
            nullable: false,
            primary: false,
        }],
        policies: vec![Policy {
            name: "own".into(),
            command: "ALL".into(),
            permissive: true,
            roles: vec!["PUBLIC".into()],
            using: None,
            check: None,
        }],
        indexes: Vec::new(),
    }
}

/// Everything was asked and found as it should be.
fn proven() -> Subject {
    let ids = check::all()
        .map(|check| &check.meta.id)
        .chain(STAGE_CHECKS.iter().filter(|b| b.when != When::Adopting).map(|b| &b.meta.id));
    let report = Report {
        kind: KIND.into(),
        format: 1,
        sluice: "0.1.0".into(),
        name: "records".into(),
        namespace: "medical".into(),
        database: "db:5432/records".into(),
        server: Some("15.18".into()),
        at: "2026-01-02T03:04:05Z".parse::<Timestamp>().expect("a moment"),
        verdict: Verdict::Passed,
        reason: "Verified".into(),
        message: "as meant".into(),
        version: Some("20250918_a".into()),
        applied: Some(3),
        pending: Vec::new(),
        counts: Counts::default(),
        findings: Vec::new(),
        checks: ids.map(|id| check(id, CheckVerdict::Passed)).collect(),
        tenancy: Some(Tenancy {
            app_role: "app".into(),
            column: "clinic_id".into(),
            setting: "app.clinic_id".into(),
        }),
        schema: Some(Schema {
            tables: vec![
                table("clinics", Isolation::Shared),
                table("patients", Isolation::Isolated),
                table("visits", Isolation::Isolated),
                table("free", Isolation::Excepted),
            ],
            relations: Vec::new(),
        }),
        unread: None,
        asked: Some(Requested {
            snapshot: Some(ReadBack::Read),
            keep: None,
            waived: None,
            every: Some(Span::from_secs(6 * 3600)),
            tables: vec!["clinical.patients".into(), "compliance.access_log".into()],
            audit_columns: vec!["created_at".into()],
            questions: vec!["unalterable: the chain".into(), "retention: 20 years".into(), "other".into()],
            drift_ignored: Vec::new(),
        }),
    };
    Subject { report, status: Some(status()) }
}

fn status() -> DatabaseMigrationStatus {
    let status = json!({
        "observedGeneration": 1, "currentVersion": "20250918_a",
        "snapshot": {"reference": "claim:records/1.dump", "takenAt": "2026-01-01T00:00:00Z", "bytes": 4096, "sha256": "ab12", "verified": "Read"},
        "run": {"job": "records-1", "digest": "d", "attempt": 1, "finishedAt": "2026-01-02T00:00:00Z", "reason": "Verified"},
        "conditions": [{"type": "Verified", "status": "True", "reason": "Verified", "message": "", "lastTransitionTime": "2026-01-02T00:00:00Z"}],
    });
    serde_json::from_value(status).expect("a status")
}

fn evidence(subject: &Subject, names: &[&str]) -> Evidence {
    Evidence::of(std::slice::from_ref(subject), &regimes(names))
}

/// For each duty, whether it rests on this piece, and its verdict.
fn verdicts(part: &Part, concerned: impl Fn(&Piece) -> bool) -> Vec<(bool, Proven)> {
    part.duties.iter().map(|duty| (duty.evidence.iter().any(&concerned), duty.verdict)).collect()
}

fn set(subject: &mut Subject, id: &str, verdict: CheckVerdict) {
    subject
        .report
        .checks
        .iter_mut()
        .find(|check| check.id.name() == id)
        .unwrap_or_else(|| panic!("no check {id}"))
        .verdict = verdict;
}

#[test]
fn every_duty_is_proven_when_everything_was_asked_and_found_as_it_should_be() {
    let found = evidence(&proven(), &NAMES);
    for part in &found.parts {
        assert_eq!((part.verdict, part.counts.proven), (Verdict::Passed, part.duties.len()), "{part:#?}");
        assert!(part.ask.is_empty(), "{}: {:?}", part.regime, part.ask);
    }
    assert_eq!((found.verdict, found.parts.len()), (Verdict::Passed, NAMES.len()));
}

#[test]
fn a_check_that_failed_warned_or_was_not_carried_out_takes_away_its_duties_and_no_others_in_each_regime() {
    let ids: Vec<&str> = check::all()
        .map(|check| &check.meta.id)
        .chain(STAGE_CHECKS.iter().map(|beside| &beside.meta.id))
        .map(CheckId::name)
        .collect();
    for name in NAMES {
        let mut broken = 0;
        for part in evidence(&proven(), &[name]).parts {
            let used = part.duties.iter().flat_map(|duty| &duty.evidence).map(|piece| piece.what.clone());
            let used: Vec<String> = used.filter(|what| ids.contains(&what.as_str())).collect();
            for id in &used {
                for verdict in [
                    CheckVerdict::Failed,
                    CheckVerdict::Warned,
                    CheckVerdict::Unknown,
                    CheckVerdict::NotAsked,
                ] {
                    let mut subject = proven();
                    set(&mut subject, id, verdict);
                    let expected =
                        if verdict == CheckVerdict::NotAsked { Proven::NotAsked } else { Proven::NotProven };
                    let found = evidence(&subject, &[name]);
                    for (concerned, found) in verdicts(&found.parts[0], |piece| piece.what == *id) {
                        assert_eq!(
                            found,
                            if concerned { expected } else { Proven::Proven },
                            "{name}: {id} {verdict:?}"
                        );
                    }
                    assert_eq!(found.verdict, Verdict::Failed, "{name}: {id}");
                    assert_eq!(
                        found.parts[0].ask.is_empty(),
                        verdict != CheckVerdict::NotAsked,
                        "{name}: {id}"
                    );
                }
                broken += 1;
            }
        }
        assert!(broken > 4, "{name} rests on {broken} checks");
    }
}

type Fault = (&'static str, &'static str, Proven, fn(&mut Subject));

/// What is no check: the piece, what is done, and what it becomes.
const FAULTS: [Fault; 15] = [
    ("row-level security", "a table is exposed", Proven::NotProven, |subject| {
        tables(subject)[1].isolation = Isolation::Exposed;
    }),
    ("row-level security", "a table is not forced", Proven::NotProven, |subject| {
        tables(subject)[1].forced = false;
    }),
    ("row-level security", "no table has the column", Proven::NotProven, |subject| {
        tables(subject).truncate(1);
    }),
    ("row-level security", "the schema could not be read", Proven::NotProven, |subject| {
        subject.report.schema = None;
    }),
    ("row-level security", "nobody asked", Proven::NotAsked, |subject| subject.report.tenancy = None),
    ("audit table", "none is required", Proven::NotAsked, |subject| asked(subject).tables.truncate(1)),
    ("queries `unalterable: …`", "there is none", Proven::NotAsked, |subject| {
        asked(subject).questions.retain(|q| !q.starts_with('u'));
    }),
    ("queries `retention: …`", "its answer is wrong", Proven::NotProven, |subject| {
        answer(subject, "retention: 20 years");
    }),
    ("snapshot", "the manifest waives it", Proven::NotAsked, |subject| {
        asked(subject).waived = Some("none needed".into());
    }),
    ("snapshot", "it is only listed", Proven::NotAsked, |subject| {
        asked(subject).snapshot = Some(ReadBack::List);
    }),
    ("snapshot", "the status has none", Proven::NotProven, |subject| known(subject).snapshot = None),
    ("snapshot", "the status is of another version", Proven::NotProven, |subject| {
        known(subject).current_version = None;
    }),
    ("repeated verification", "the manifest does not ask", Proven::NotAsked, |subject| {
        asked(subject).every = None;
    }),
    ("repeated verification", "it was long ago", Proven::NotProven, |subject| {
        asked(subject).every = Some(Span::from_secs(60));
    }),
    ("repeated verification", "it failed", Proven::NotProven, |subject| {
        known(subject).run.as_mut().expect("a run").reason = Some("VerificationFailed".into());
    }),
];

fn tables(subject: &mut Subject) -> &mut Vec<Table> {
    &mut subject.report.schema.as_mut().expect("a schema").tables
}

fn asked(subject: &mut Subject) -> &mut Requested {
    subject.report.asked.as_mut().expect("what is asked")
}

fn known(subject: &mut Subject) -> &mut DatabaseMigrationStatus {
    subject.status.as_mut().expect("a status")
}

fn answer(subject: &mut Subject, object: &str) {
    set(subject, "query-assertion", CheckVerdict::Failed);
    let (check, message, remedy) =
        (CheckId::QueryAssertion, format!("{object} found a row"), "mend it".into());
    subject.report.findings.push(Finding {
        check,
        object: object.into(),
        severity: Severity::Error,
        message,
        remedy,
    });
}

#[test]
fn what_is_no_check_takes_away_its_duties_and_no_others_in_each_regime() {
    for (what, why, expected, fault) in FAULTS {
        let mut subject = proven();
        fault(&mut subject);
        let mut concerned = 0;
        for part in evidence(&subject, &NAMES).parts {
            for (rests, found) in verdicts(&part, |piece| piece.what == what) {
                assert_eq!(
                    found,
                    if rests { expected } else { Proven::Proven },
                    "{}: {what}: {why}",
                    part.regime
                );
                concerned += usize::from(rests);
            }
        }
        assert!(concerned > 0, "nothing rests on {what}");
    }
}

#[test]
fn a_wrong_answer_takes_away_only_the_duties_that_the_question_is_about() {
    let mut subject = proven();
    answer(&mut subject, "other");
    assert_eq!(evidence(&subject, &NAMES).verdict, Verdict::Passed, "a query about something else");
    answer(&mut subject, "unalterable: the chain");
    let part = evidence(&subject, &["630f"]).parts.remove(0);
    let not_proven: Vec<&str> =
        part.duties.iter().filter(|duty| duty.verdict == Proven::NotProven).map(|duty| duty.rule).collect();
    assert_eq!(not_proven, ["§ 630f (1) sentences 2 and 3 BGB"]);
}

#[test]
fn without_a_status_no_snapshot_is_proven_and_a_report_of_an_older_version_proves_less() {
    let alone = Subject { status: None, ..proven() };
    for part in evidence(&alone, &NAMES).parts {
        for (rests, found) in
            verdicts(&part, |piece| ["snapshot", "repeated verification"].contains(&piece.what.as_str()))
        {
            assert_eq!(found, if rests { Proven::NotProven } else { Proven::Proven }, "{}", part.regime);
        }
    }
    let mut older = proven();
    older.report.asked = None;
    older.report.checks.retain(|check| check.id != CheckId::SchemaDrift);
    let part = evidence(&older, &["GoBD"]).parts.remove(0);
    assert!(part.duties.iter().all(|duty| duty.verdict == Proven::NotAsked), "{part:#?}");
    assert_eq!(evidence(&proven(), &[]).verdict, Verdict::Failed, "nothing is no evidence");
}

#[test]
fn checks_that_only_a_newer_version_has_prove_nothing() {
    let mut newer = proven();
    for check in &mut newer.report.checks {
        check.id = CheckId::named(&format!("newer-{}", check.id));
    }
    for duty in evidence(&newer, &NAMES).parts.iter().flat_map(|part| &part.duties) {
        let of_a_check = |piece: &&Piece| CheckId::ALL.iter().any(|check| check.name() == piece.what);
        for piece in duty.evidence.iter().filter(of_a_check) {
            assert_eq!(piece.verdict, Proven::NotAsked, "{duty:#?}");
        }
    }
}

/// Something of each verdict, with a name that tries to break out of each form.
fn mixed() -> Evidence {
    let mut subject = proven();
    subject.report.name = NASTY.into();
    tables(&mut subject)[1].name = NASTY.into();
    asked(&mut subject).questions = vec![format!("unalterable: {NASTY}")];
    asked(&mut subject).drift_ignored = vec!["public.visits_p*".into()];
    subject.report.findings.push(Finding {
        check: CheckId::RlsView,
        object: NASTY.into(),
        severity: Severity::Error,
        message: format!("{NASTY} shows every tenant's rows"),
        remedy: "mend it".into(),
    });
    set(&mut subject, "rls-view", CheckVerdict::Failed);
    evidence(&subject, &["LGPD", "CFM"])
}

#[test]
fn every_form_of_the_evidence_is_the_file_beside_this_one_and_no_name_breaks_out() {
    for (ending, form) in [
        ("txt", Form::Text { coloured: false, all: true }),
        ("json", Form::Json),
        ("md", Form::Markdown),
        ("html", Form::Html),
    ] {
        let text = mixed().print(form).expect("has this form");
        golden::is_current(&format!("tests/contract/reports/evidence.{ending}"), &text);
        let steering = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert!(
            steering.is_none() || (ending == "json" && steering == Some('\u{202e}')),
            "{ending} has {steering:?}"
        );
        assert!(ending == "json" || text.contains("no legal opinion"), "{ending}");
    }
    let page = mixed().print(Form::Html).expect("has this form");
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    assert_eq!(mixed().print(Form::Junit), None);
}

#[test]
fn the_evidence_in_markdown_keeps_every_table_row_in_its_columns() {
    let text = mixed().print(Form::Markdown).expect("has this form");
    let mut columns = None;
    for line in text.lines() {
        if !line.starts_with('|') {
            columns = None;
            continue;
        }
        let found = line.replace("\\|", "").matches('|').count();
        assert_eq!(*columns.get_or_insert(found), found, "{line}");
    }
}
