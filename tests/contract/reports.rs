//! Reports in every form, compared with the files in `tests/contract/reports`. `UPDATE=1` writes them. The
//! names in the fixture hold what could break out of each form.

use jiff::Timestamp;
use quick_junit::{NonSuccessKind, TestCaseStatus};
use sluice::{
    api::{CheckId, Finding, Severity},
    report::{
        CheckResult, CheckVerdict, Column, Consistency, Counts, Document, Form, Index, Isolation, KIND,
        Policy, Relation, Report, Schema, Table, TableKind, Tenancy, Verdict, read,
    },
};

use crate::golden;

/// What a database may call a table, and what no form may take for its own.
const NASTY: &str = "</title><script>alert(\"1\")</script>'&|`*_[x](http://evil)\n]]>-->\u{1b}[31m\u{202e}🏥";

const FORMS: [(&str, Form); 5] = [
    ("txt", Form::Text { coloured: false, all: false }),
    ("json", Form::Json),
    ("xml", Form::Junit),
    ("md", Form::Markdown),
    ("html", Form::Html),
];

fn finding(check: &str, object: &str, severity: Severity) -> Finding {
    let (message, remedy) =
        (format!("{object} is not as it should be"), format!("ALTER TABLE \"{object}\" …"));
    Finding { check: CheckId::named(check), object: object.into(), severity, message, remedy }
}

fn check(id: &str, aspect: &str, verdict: CheckVerdict, findings: usize) -> CheckResult {
    CheckResult {
        id: CheckId::named(id),
        aspect: aspect.into(),
        verdict,
        findings,
        title: "Every table is as `it` should be".into(),
        condition: "A table is not.".into(),
        effect: "A tenant sees what it should not.".into(),
        remedy: "`ALTER TABLE`.".into(),
    }
}

fn table(name: &str, isolation: Isolation) -> Table {
    let column =
        |name: &str, primary| Column { name: name.into(), type_: "uuid".into(), nullable: false, primary };
    Table {
        schema: "clinical".into(),
        name: name.into(),
        kind: TableKind::Table,
        owner: "migrator".into(),
        rows: Some(3000),
        enabled: true,
        forced: isolation != Isolation::Exposed,
        isolation,
        columns: vec![column("id", true), column("clinic_id", false), column(NASTY, false)],
        policies: vec![Policy {
            name: NASTY.into(),
            command: "ALL".into(),
            permissive: true,
            roles: vec!["PUBLIC".into()],
            using: Some("(clinic_id = 1) AND ('<' <> '&')".into()),
            check: None,
        }],
        indexes: vec![Index {
            name: "pk".into(),
            definition: "btree (id)".into(),
            unique: true,
            primary: true,
            valid: true,
        }],
    }
}

/// Something of everything.
fn failed() -> Report {
    let nasty = format!("clinical.{NASTY}");
    let findings = vec![
        finding("rls-forced", &nasty, Severity::Error),
        finding("rls-forced", "clinical.patients", Severity::Error),
        finding("index-valid", "clinical.visits", Severity::Warning),
        finding("line-endings", "20250918_a", Severity::Information),
    ];
    let relation = |from: &str, to: &str| Relation {
        name: format!("{from}_fkey"),
        from: format!("clinical.{from}"),
        columns: vec!["clinic_id".into()],
        to: format!("clinical.{to}"),
        references: vec!["id".into()],
        on_delete: "RESTRICT".into(),
        on_update: "NO ACTION".into(),
        validated: from != NASTY,
    };
    Report {
        kind: KIND.into(),
        format: 1,
        sluice: "0.1.0".into(),
        name: "records".into(),
        namespace: "medical".into(),
        database: "db:5432/records".into(),
        server: Some("15.18".into()),
        at: "2026-01-02T03:04:05Z".parse::<Timestamp>().expect("a moment"),
        verdict: Verdict::Failed,
        reason: "VerificationFailed".into(),
        message: "row-level security of <patients> & others is not forced".into(),
        version: Some("20250918_a".into()),
        applied: Some(3),
        pending: vec!["20250919_b".into()],
        counts: Counts::of(&findings),
        findings,
        checks: vec![
            check("history-equals-source", "history", CheckVerdict::Passed, 0),
            check("rls-forced", "isolation", CheckVerdict::Failed, 2),
            check("index-valid", "indexes", CheckVerdict::Warned, 1),
            check("index-required", "indexes", CheckVerdict::NotAsked, 0),
            check("line-endings", "history", CheckVerdict::Passed, 1),
        ],
        tenancy: Some(Tenancy {
            app_role: "app".into(),
            column: "clinic_id".into(),
            setting: "app.clinic_id".into(),
        }),
        schema: Some(Schema {
            tables: vec![
                table("clinics", Isolation::Shared),
                table("patients", Isolation::Exposed),
                table("visits", Isolation::Isolated),
                table(NASTY, Isolation::Exposed),
            ],
            relations: vec![
                relation("patients", "clinics"),
                relation("visits", "patients"),
                relation(NASTY, "clinics"),
            ],
        }),
        unread: None,
        asked: None,
    }
}

fn passed() -> Report {
    let checks = vec![
        check("history-equals-source", "history", CheckVerdict::Passed, 0),
        check("rls-forced", "isolation", CheckVerdict::Passed, 0),
    ];
    let findings = Vec::new();
    Report {
        name: "auth".into(),
        verdict: Verdict::Passed,
        reason: "Verified".into(),
        message: "as meant".into(),
        counts: Counts::default(),
        pending: Vec::new(),
        findings,
        checks,
        ..failed()
    }
}

fn one() -> Document {
    Document::One(Box::new(failed()))
}

fn several() -> Document {
    Document::Several(Consistency::of(vec![passed(), failed()]))
}

#[test]
fn every_form_of_a_report_is_the_file_beside_this_one() {
    for (name, document) in [("report", one()), ("services", several())] {
        for (ending, form) in FORMS {
            golden::is_current(&format!("tests/contract/reports/{name}.{ending}"), &document.print(form));
        }
    }
    let all = one().print(Form::Text { coloured: false, all: true });
    golden::is_current("tests/contract/reports/report.all.txt", &all);
}

#[test]
fn no_form_lets_a_name_steer_the_terminal_or_turn_the_direction_of_writing() {
    for document in [one(), several()] {
        for (ending, form) in FORMS {
            let text = document.print(form);
            let steering = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert!(
                steering.is_none() || (ending == "json" && steering == Some('\u{202e}')),
                "{ending} has {steering:?}"
            );
            assert!(text.contains("🏥") && text.ends_with('\n'), "{ending}");
        }
    }
}

#[test]
fn html_holds_no_element_that_a_name_asked_for_and_nothing_from_elsewhere() {
    for document in [one(), several()] {
        let page = document.print(Form::Html);
        assert!(!page.contains("<script") && !page.contains("alert(\"") && page.contains("&lt;script&gt;"));
        for elsewhere in ["src=", "@import", "url(", "href=\"http", "href=\"/", "javascript:"] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        assert_eq!(page.matches("</title>").count(), page.matches("<title>").count());
    }
}

#[test]
fn markdown_keeps_every_table_row_in_its_columns() {
    for document in [one(), several()] {
        let text = document.print(Form::Markdown);
        let mut columns = None;
        for line in text.lines() {
            if !line.starts_with('|') {
                columns = None;
                continue;
            }
            let found = line.replace("\\|", "").matches('|').count();
            assert_eq!(*columns.get_or_insert(found), found, "{line}");
        }
        // Outside of code, which has backticks around it, no letter may begin an element.
        let outside = text.lines().filter(|line| !line.contains('`'));
        assert_eq!(outside.filter(|line| line.contains('<')).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

/// The sums of the document and of each suite are those of the statuses that its cases have.
fn sums_are_right(read: &quick_junit::Report) -> bool {
    let counted = |cases: &mut dyn Iterator<Item = &quick_junit::TestCase>| {
        let mut sums = [0; 4];
        for case in cases {
            sums[0] += 1;
            match &case.status {
                TestCaseStatus::Success { .. } => {}
                TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. } => sums[1] += 1,
                TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. } => sums[2] += 1,
                TestCaseStatus::Skipped { .. } => sums[3] += 1,
            }
        }
        sums
    };
    let mut all = read.test_suites.iter().flat_map(|suite| &suite.test_cases);
    counted(&mut all) == [read.tests, read.failures, read.errors, read.skipped]
        && read.test_suites.iter().all(|suite| {
            counted(&mut suite.test_cases.iter())
                == [suite.tests, suite.failures, suite.errors, suite.skipped]
        })
}

#[test]
fn junit_reads_back_with_right_sums_and_a_hostile_name_as_one_text() {
    for (document, suites) in [(one(), 1), (several(), 2)] {
        let text = document.print(Form::Junit);
        let mut read = quick_junit::Report::deserialize_from_str(&text).expect("JUnit XML");
        assert!(sums_are_right(&read), "{text}");
        assert_eq!((read.test_suites.len(), read.failures, read.skipped), (suites, 1, 1), "{text}");
        let nasty = NASTY.replace('\n', "\\n").replace('\u{1b}', "\\u{1b}").replace('\u{202e}', "\\u{202e}");
        let case = &read.test_suites[suites - 1].test_cases[1];
        let TestCaseStatus::NonSuccess { message: Some(message), description: Some(lines), .. } =
            &case.status
        else {
            panic!("{text}")
        };
        let object = format!("clinical.{nasty}");
        assert_eq!(message.as_str(), format!("{object}: {object} is not as it should be (1 more)"));
        assert!(lines.starts_with(&format!("Error: {object}: {object} is not")), "{lines:?}");
        // The control: a case more than the sums say.
        let again = case.clone();
        read.test_suites[suites - 1].test_cases.push(again);
        assert!(!sums_are_right(&read));
    }
}

#[test]
fn junit_has_an_error_for_what_could_not_be_checked_and_a_failure_for_each_check_that_found_an_error() {
    let lost = Report {
        checks: vec![check("rls-forced", "isolation", CheckVerdict::Unknown, 0)],
        findings: Vec::new(),
        ..failed()
    };
    // Says it passed, and has errors.
    let mistaken = Report {
        checks: vec![check("rls-forced", "isolation", CheckVerdict::Passed, 2)],
        verdict: Verdict::Passed,
        ..failed()
    };
    for (report, sums) in [(lost, (2, 0, 2)), (mistaken, (1, 1, 0))] {
        let text = Document::One(Box::new(report)).print(Form::Junit);
        let read = quick_junit::Report::deserialize_from_str(&text).expect("JUnit XML");
        assert!(sums_are_right(&read), "{text}");
        assert_eq!((read.tests, read.failures, read.errors), sums, "{text}");
    }
}

#[test]
fn json_reads_back_as_it_was_alone_and_among_others() {
    let text = one().print(Form::Json);
    assert_eq!(read(&text).expect("reads"), [failed()]);
    assert_eq!(read(&several().print(Form::Json)).expect("reads"), [passed(), failed()]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let keys: Vec<&String> = value["findings"][0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["check", "message", "object", "remedy", "severity"]);
}

#[test]
fn the_sum_of_several_services_is_that_of_its_rows_and_one_that_failed_fails_all() {
    let Document::Several(several) = several() else { panic!("several") };
    assert_eq!(
        (several.verdict, several.total),
        (Verdict::Failed, Counts { errors: 2, warnings: 1, information: 1 })
    );
    let rows: Vec<_> = several
        .services
        .iter()
        .map(|service| (service.name.as_str(), service.verdict, service.counts.errors))
        .collect();
    assert_eq!(rows, [("medical/auth", Verdict::Passed, 0), ("medical/records", Verdict::Failed, 2)]);
    let isolation = several.aspects.iter().find(|row| row.aspect == "isolation").expect("an aspect");
    assert_eq!(isolation.services, [CheckVerdict::Passed, CheckVerdict::Failed]);
    assert_eq!(Consistency::of(vec![passed(), passed()]).verdict, Verdict::Passed);
}

#[test]
fn colours_are_there_only_when_they_are_wanted_and_change_no_letter() {
    let (plain, coloured) = (
        one().print(Form::Text { coloured: false, all: false }),
        one().print(Form::Text { coloured: true, all: false }),
    );
    assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[1;31m"));
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        stripped.push_str(before);
        rest = after.split_once('m').expect("a whole sequence").1;
    }
    assert_eq!(stripped + rest, plain);
}
