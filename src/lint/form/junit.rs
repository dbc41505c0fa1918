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
    let status = match (&remark.waived, remark.weight) {
        (Some(_), _) => TestCaseStatus::skipped(),
        (None, Weight::Fail) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        (None, _) => TestCaseStatus::success(),
    };
    let place = place(remark);
    let mut case = TestCase::new(visible(&format!("{} {place}", remark.rule.id)), status);
    case.set_classname(remark.rule.id.as_str());
    case.set_system_out(visible(&format!("{}\n{}", message(remark), remark.remedy)));
    case
}
