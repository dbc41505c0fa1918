//! The form for pipelines that show test results: a suite for each report, a case for each check. PURE.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{CheckResult, CheckVerdict, Report, Verdict};
use crate::{
    api::{Finding, Severity},
    visible::visible,
};

/// The whole document. Writing to memory cannot fail; an error would leave an empty text, which no parser
/// accepts.
pub(super) fn print(reports: &[Report]) -> String {
    let mut document = quick_junit::Report::new("sluice verify");
    document.add_test_suites(reports.iter().map(suite));
    document.to_string().unwrap_or_default()
}

/// The verification failed, and no check says so: it could not be carried out.
fn is_lost(report: &Report) -> bool {
    report.verdict == Verdict::Failed
        && report.checks.iter().all(|check| check.verdict != CheckVerdict::Failed)
}

fn suite(report: &Report) -> TestSuite {
    let name = visible(&format!("{}/{}", report.namespace, report.name));
    let mut suite = TestSuite::new(&name);
    if is_lost(report) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type(visible(&report.reason)).set_message(visible(&report.message));
        let mut case = TestCase::new("verification", status);
        case.set_classname(&name);
        suite.add_test_case(case);
    }
    suite.add_test_cases(report.checks.iter().map(|check| case(&name, report, check)));
    // As text, because the library's own field takes the moments of another library than Sluice's.
    suite.extra.insert("timestamp".into(), report.at.to_string().into());
    suite.extra.insert("hostname".into(), visible(&report.database).into());
    suite
}

fn case(suite: &str, report: &Report, check: &CheckResult) -> TestCase {
    let (errors, rest): (Vec<&Finding>, Vec<&Finding>) = report
        .findings
        .iter()
        .filter(|finding| finding.check == check.id)
        .partition(|finding| finding.severity == Severity::Error);
    let mut case = TestCase::new(visible(check.id.name()), status(report, check, &errors));
    case.set_classname(format!("{suite}.{}", visible(&check.aspect)));
    if !rest.is_empty() {
        case.set_system_out(lines(&rest));
    }
    case
}

/// A case has one status, so all errors are in it.
fn status(report: &Report, check: &CheckResult, errors: &[&Finding]) -> TestCaseStatus {
    let mut status = match check.verdict {
        CheckVerdict::Unknown => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(visible(&report.message));
            status
        }
        CheckVerdict::NotAsked if errors.is_empty() => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("the manifest does not ask for it");
            status
        }
        CheckVerdict::Passed | CheckVerdict::Warned if errors.is_empty() => TestCaseStatus::success(),
        _ => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if let [first, others @ ..] = errors {
        let more = if others.is_empty() { String::new() } else { format!(" ({} more)", others.len()) };
        if check.verdict != CheckVerdict::Unknown {
            status.set_message(visible(&format!("{}: {}{more}", first.object, first.message)));
        }
        status.set_type("error").set_description(lines(errors));
    }
    status
}

fn lines(findings: &[&Finding]) -> String {
    let line = |finding: &&Finding| {
        format!(
            "{:?}: {}: {} → {}",
            finding.severity,
            visible(&finding.object),
            visible(&finding.message),
            visible(&finding.remedy)
        )
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}
