//! For pipelines that show test results: a case for each remark.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Unprintable, message, place};
use crate::{
    lint::{Remark, Weight},
    visible::visible,
};

pub(super) fn print(remarks: &[Remark]) -> Result<String, Unprintable> {
    let mut suite = TestSuite::new("sluice lint");
    for remark in remarks {
        suite.add_test_case(case(remark));
    }
    let mut report = Report::new("sluice lint");
    report.add_test_suite(suite);
    report.to_string().map_err(|error| Unprintable(error.to_string()))
}

fn case(remark: &Remark) -> TestCase {
    let said = visible(&format!("{}\n{}", message(remark), remark.remedy));
    // What shows test results shows what stands in the failure, and of a test that passed what it wrote.
    let status = match (&remark.waived, remark.weight) {
        (Some(reason), _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(visible(reason));
            status
        }
        (None, Weight::Fail) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(visible(&remark.message)).set_description(said.clone());
            status
        }
        (None, _) => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(visible(&format!("{} {}", remark.rule.id, place(remark))), status);
    case.set_classname(remark.rule.id.as_str());
    if let Some(place) = &remark.place {
        case.extra.insert("file".into(), visible(&place.file).into());
    }
    case.set_system_out(said);
    case
}
