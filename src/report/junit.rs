//! The form for pipelines that show test results: a suite for each report, a case for each check. PURE.

use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

use super::{CheckResult, CheckVerdict, Report, Verdict};
use crate::{
    api::{Finding, Severity},
    visible::visible,
};

/// The whole document. Writing to memory cannot fail; an error would leave the text cut off, which no parser
/// accepts.
pub(super) fn print(reports: &[Report]) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let done = document(&mut writer, reports);
    let mut text = String::from_utf8(writer.into_inner()).unwrap_or_default();
    if done.is_ok() {
        text.push('\n');
    }
    text
}

type Out = Writer<Vec<u8>>;

fn document(writer: &mut Out, reports: &[Report]) -> io::Result<()> {
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let (mut tests, mut failures, mut errors) = (0, 0, 0);
    for report in reports {
        let [all, failed, unknown, _] = numbers(report);
        (tests, failures, errors) = (tests + all, failures + failed, errors + unknown);
    }
    let (tests, failures, errors) = (tests.to_string(), failures.to_string(), errors.to_string());
    writer
        .create_element("testsuites")
        .with_attributes([
            ("name", "sluice verify"),
            ("tests", &tests),
            ("failures", &failures),
            ("errors", &errors),
        ])
        .write_inner_content(|writer| reports.iter().try_for_each(|report| suite(writer, report)))?;
    Ok(())
}

/// How many cases, failures, errors and skipped ones.
fn numbers(report: &Report) -> [usize; 4] {
    let of = |verdict| report.checks.iter().filter(|check| check.verdict == verdict).count();
    let unknown = of(CheckVerdict::Unknown) + usize::from(is_lost(report));
    [
        report.checks.len() + usize::from(is_lost(report)),
        of(CheckVerdict::Failed),
        unknown,
        of(CheckVerdict::NotAsked),
    ]
}

/// The verification failed, and no check says so: it could not be carried out.
fn is_lost(report: &Report) -> bool {
    report.verdict == Verdict::Failed
        && report.checks.iter().all(|check| check.verdict != CheckVerdict::Failed)
}

fn suite(writer: &mut Out, report: &Report) -> io::Result<()> {
    let name = visible(&format!("{}/{}", report.namespace, report.name));
    let [tests, failures, errors, skipped] = numbers(report).map(|number| number.to_string());
    let at = report.at.to_string();
    let element = writer.create_element("testsuite").with_attributes([
        ("name", name.as_str()),
        ("tests", &tests),
        ("failures", &failures),
        ("errors", &errors),
        ("skipped", &skipped),
        ("timestamp", &at),
        ("hostname", &visible(&report.database)),
    ]);
    element.write_inner_content(|writer| {
        if is_lost(report) {
            let (reason, message) = (visible(&report.reason), visible(&report.message));
            writer
                .create_element("testcase")
                .with_attributes([("classname", name.as_str()), ("name", "verification")])
                .write_inner_content(|writer| {
                    writer
                        .create_element("error")
                        .with_attributes([("type", reason.as_str()), ("message", &message)])
                        .write_empty()
                        .map(drop)
                })?;
        }
        report.checks.iter().try_for_each(|check| case(writer, &name, report, check))
    })?;
    Ok(())
}

fn case(writer: &mut Out, suite: &str, report: &Report, check: &CheckResult) -> io::Result<()> {
    let class = format!("{suite}.{}", visible(&check.aspect));
    let id = visible(&check.id);
    let found: Vec<&Finding> = report.findings.iter().filter(|finding| finding.check == check.id).collect();
    let element =
        writer.create_element("testcase").with_attributes([("classname", class.as_str()), ("name", &id)]);
    if check.verdict == CheckVerdict::Passed && found.is_empty() {
        return element.write_empty().map(drop);
    }
    element.write_inner_content(|writer| {
        match check.verdict {
            CheckVerdict::NotAsked => {
                writer
                    .create_element("skipped")
                    .with_attribute(("message", "the manifest does not ask for it"))
                    .write_empty()?;
            }
            CheckVerdict::Unknown => {
                writer
                    .create_element("error")
                    .with_attribute(("message", visible(&report.message).as_str()))
                    .write_empty()?;
            }
            _ => {}
        }
        let (errors, rest): (Vec<&Finding>, Vec<&Finding>) =
            found.iter().partition(|finding| finding.severity == Severity::Error);
        // Readers show one failure for a case, so all errors are in it.
        if let [first, others @ ..] = errors.as_slice() {
            let more = if others.is_empty() { String::new() } else { format!(" ({} more)", others.len()) };
            let message = visible(&format!("{}: {}{more}", first.object, first.message));
            let element =
                writer.create_element("failure").with_attributes([("type", "error"), ("message", &message)]);
            element.write_text_content(BytesText::new(&lines(&errors)))?;
        }
        if !rest.is_empty() {
            writer.create_element("system-out").write_text_content(BytesText::new(&lines(&rest)))?;
        }
        Ok(())
    })?;
    Ok(())
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
