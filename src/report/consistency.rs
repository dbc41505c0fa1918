//! Several reports side by side: one row for each service, one for each aspect, and the sum. PURE.

use serde::{Deserialize, Serialize};

use super::{CheckVerdict, Counts, Report, Verdict};

/// What tells it from other JSON.
pub(super) const KIND: &str = "ConsistencyReport";

/// Several services together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consistency {
    /// Always `ConsistencyReport`.
    pub kind: String,
    /// The version of this form: 1.
    pub format: u32,
    /// Passed when every service did.
    pub verdict: Verdict,
    /// The findings of all.
    pub total: Counts,
    /// One row for each report, in the order given.
    pub services: Vec<Service>,
    /// One row for each aspect that any service was asked about.
    pub aspects: Vec<AspectRow>,
    /// The reports, whole.
    pub reports: Vec<Report>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `namespace/name`.
    pub name: String,
    /// `host:port/database`.
    pub database: String,
    /// The newest applied migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many migrations are not applied.
    pub pending: usize,
    /// Its verdict.
    pub verdict: Verdict,
    /// Its findings.
    pub counts: Counts,
}

/// One aspect over all services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AspectRow {
    /// The aspect.
    pub aspect: String,
    /// The worst verdict of any service.
    pub verdict: CheckVerdict,
    /// Each service's verdict, in the order of the services.
    pub services: Vec<CheckVerdict>,
}

impl Consistency {
    /// Puts reports side by side.
    pub fn of(reports: Vec<Report>) -> Self {
        let services = reports.iter().map(Service::of).collect();
        let passed = reports.iter().all(|report| report.verdict == Verdict::Passed);
        Self {
            kind: KIND.to_owned(),
            format: 1,
            verdict: if passed { Verdict::Passed } else { Verdict::Failed },
            total: Counts::of(reports.iter().flat_map(|report| &report.findings)),
            services,
            aspects: aspects(&reports),
            reports,
        }
    }

    /// The reports that found something, with their place: errors first, then warnings, and in the order
    /// given.
    pub(super) fn worst_first(&self) -> Vec<(usize, &Report)> {
        let mut reports: Vec<_> =
            self.reports.iter().enumerate().filter(|(_, report)| !report.findings.is_empty()).collect();
        reports.sort_by_key(|(_, report)| match report.counts {
            Counts { errors: 1.., .. } => 0,
            Counts { warnings: 1.., .. } => 1,
            Counts { .. } => 2,
        });
        reports
    }
}

impl Service {
    fn of(report: &Report) -> Self {
        Self {
            name: format!("{}/{}", report.namespace, report.name),
            database: report.database.clone(),
            version: report.version.clone(),
            pending: report.pending.len(),
            verdict: report.verdict,
            counts: report.counts,
        }
    }
}

fn aspects(reports: &[Report]) -> Vec<AspectRow> {
    let mut names: Vec<&str> = Vec::new();
    for check in reports.iter().flat_map(|report| &report.checks) {
        if !names.contains(&check.aspect.as_str()) {
            names.push(&check.aspect);
        }
    }
    let rows = names.into_iter().map(|name| {
        let services: Vec<CheckVerdict> = reports.iter().map(|report| worst(report, name)).collect();
        let verdict = services.iter().copied().min().unwrap_or(CheckVerdict::NotAsked);
        AspectRow { aspect: name.to_owned(), verdict, services }
    });
    rows.filter(|row| row.verdict != CheckVerdict::NotAsked).collect()
}

/// The worst verdict of a report's checks of an aspect; verdicts are ordered by how bad they are.
fn worst(report: &Report, aspect: &str) -> CheckVerdict {
    let checks = report.checks.iter().filter(|check| check.aspect == aspect);
    checks.map(|check| check.verdict).min().unwrap_or(CheckVerdict::NotAsked)
}
