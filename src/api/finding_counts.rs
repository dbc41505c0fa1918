//! How many findings there are, where only some of them fit.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CheckId, Finding, Severity};

/// How many findings the last plan or verification has, those that did not fit into the status included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingCounts {
    /// Those that keep Ready off.
    #[serde(default)]
    pub errors: u32,
    /// Those worth mending.
    #[serde(default)]
    pub warnings: u32,
    /// Those worth knowing.
    #[serde(default)]
    pub information: u32,
    /// The same by check: errors first, then warnings, each with the most frequent check first. At most 20; a
    /// run with so many findings that not even these numbers fit leaves out the rarest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckCount>,
}

/// How many findings one check has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckCount {
    /// The stable id of the check.
    pub check: CheckId,
    /// How bad these findings are.
    pub severity: Severity,
    /// How many there are.
    pub count: u32,
}

impl FindingCounts {
    /// Counts.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut found: BTreeMap<(Severity, &CheckId), u32> = BTreeMap::new();
        for finding in findings {
            *found.entry((finding.severity, &finding.check)).or_default() += 1;
        }
        let mut counts = Self::default();
        for ((severity, check), count) in found {
            *counts.of_severity(severity) += count;
            counts.checks.push(CheckCount { check: check.clone(), severity, count });
        }
        counts.most_first();
        counts
    }

    /// What two stages of one run have found together. Both report what the history lacks, so that the larger
    /// number counts, not the sum.
    pub fn merge(&mut self, other: &Self) {
        let unnamed = |counts: &Self| {
            [Severity::Error, Severity::Warning, Severity::Information]
                .map(|severity| counts.unnamed(severity))
        };
        let left: Vec<u32> =
            unnamed(self).into_iter().zip(unnamed(other)).map(|(own, others)| own.max(others)).collect();
        for theirs in &other.checks {
            let same = |own: &&mut CheckCount| own.check == theirs.check && own.severity == theirs.severity;
            match self.checks.iter_mut().find(same) {
                Some(own) => own.count = own.count.max(theirs.count),
                None => self.checks.push(theirs.clone()),
            }
        }
        for (severity, left) in
            [Severity::Error, Severity::Warning, Severity::Information].into_iter().zip(left)
        {
            *self.of_severity(severity) = self.named(severity) + left;
        }
        self.most_first();
    }

    /// How many findings of any severity.
    pub const fn all(&self) -> u32 {
        self.errors + self.warnings + self.information
    }

    const fn of_severity(&mut self, severity: Severity) -> &mut u32 {
        match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Information => &mut self.information,
        }
    }

    fn named(&self, severity: Severity) -> u32 {
        self.checks.iter().filter(|counted| counted.severity == severity).map(|counted| counted.count).sum()
    }

    /// Those of checks that are left out.
    fn unnamed(&self, severity: Severity) -> u32 {
        let all = match severity {
            Severity::Error => self.errors,
            Severity::Warning => self.warnings,
            Severity::Information => self.information,
        };
        all.saturating_sub(self.named(severity))
    }

    fn most_first(&mut self) {
        self.checks.sort_by(|a, b| (a.severity, b.count, &a.check).cmp(&(b.severity, a.count, &b.check)));
    }
}

/// The worst first, and of one severity every check before any check again: whatever is cut off behind, each
/// check is heard. The order among the findings of one check stays.
pub fn spread(findings: Vec<Finding>) -> Vec<Finding> {
    let mut seen: BTreeMap<(Severity, CheckId), usize> = BTreeMap::new();
    let mut placed: Vec<(Severity, usize, Finding)> = findings
        .into_iter()
        .map(|finding| {
            let place = seen.entry((finding.severity, finding.check.clone())).or_default();
            *place += 1;
            (finding.severity, *place, finding)
        })
        .collect();
    placed.sort_by_key(|(severity, place, _)| (*severity, *place));
    placed.into_iter().map(|(_, _, finding)| finding).collect()
}

/// So many of them, the worst first; of one severity something of each check.
pub fn keep(findings: Vec<Finding>, most: usize) -> Vec<Finding> {
    let mut kept = spread(findings);
    kept.truncate(most);
    kept.sort_by(|a, b| (a.severity, a).cmp(&(b.severity, b)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(check: &CheckId, severity: Severity, count: usize) -> Vec<Finding> {
        let finding = |n| Finding {
            check: check.clone(),
            object: format!("public.table_{n:03}"),
            severity,
            message: "m".to_owned(),
            remedy: "r".to_owned(),
        };
        (0..count).map(finding).collect()
    }

    #[test]
    fn of_many_findings_the_errors_come_first_and_then_every_check_once() {
        let all = [
            findings(&CheckId::ForeignKeyIndexed, Severity::Warning, 60),
            findings(&CheckId::IndexRedundant, Severity::Warning, 73),
            findings(&CheckId::RlsEnabled, Severity::Error, 1),
        ];
        let first: Vec<_> =
            spread(all.concat()).into_iter().take(4).map(|finding| (finding.check, finding.object)).collect();
        let expected = [
            (CheckId::RlsEnabled, 0),
            (CheckId::ForeignKeyIndexed, 0),
            (CheckId::IndexRedundant, 0),
            (CheckId::ForeignKeyIndexed, 1),
        ];
        assert_eq!(first, expected.map(|(check, n)| (check, format!("public.table_{n:03}"))));
    }

    #[test]
    fn findings_are_counted_by_severity_and_by_check_with_the_most_frequent_first() {
        let all = [
            findings(&CheckId::ForeignKeyIndexed, Severity::Warning, 60),
            findings(&CheckId::IndexRedundant, Severity::Warning, 73),
            findings(&CheckId::IndexRedundant, Severity::Error, 2),
        ];
        let counts = FindingCounts::of(&all.concat());
        assert_eq!((counts.errors, counts.warnings, counts.information, counts.all()), (2, 133, 0, 135));
        let checks: Vec<_> = counts
            .checks
            .iter()
            .map(|counted| (counted.check.clone(), counted.severity, counted.count))
            .collect();
        let expected = [
            (CheckId::IndexRedundant, Severity::Error, 2),
            (CheckId::IndexRedundant, Severity::Warning, 73),
            (CheckId::ForeignKeyIndexed, Severity::Warning, 60),
        ];
        assert_eq!(checks, expected);
    }

    #[test]
    fn what_two_stages_have_both_found_counts_once_and_what_no_longer_has_a_name_is_not_lost() {
        let mut plan = FindingCounts::of(&findings(&CheckId::EditedMigration, Severity::Information, 3));
        let verify = [
            findings(&CheckId::EditedMigration, Severity::Information, 3),
            findings(&CheckId::IndexRedundant, Severity::Warning, 7),
        ];
        let mut verify = FindingCounts::of(&verify.concat());
        verify.warnings += 5;
        plan.merge(&verify);
        assert_eq!((plan.errors, plan.warnings, plan.information), (0, 12, 3));
    }
}
