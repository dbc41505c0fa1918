//! What lint says of what is pending, by the size of the tables that are there.

use sqlx::PgConnection;

use super::Context;
use crate::{
    api::{CheckId, Finding, Reason, Severity},
    contract::{Outcome, Stage, Verdict},
    inspect::{TableScope, tables},
    lint::{self, Before, Class, Effort, Large, Remark, Tables, Weight, Weights},
    migrations::{Migration, SourceTree},
    postgres::QueryError,
    validate,
};

/// Lint's word on a release.
#[derive(Debug)]
pub(super) struct Linted {
    /// Those that weigh something, the heaviest first; or why there are none.
    remarks: Result<Vec<Remark>, String>,
    class: Class,
    effort: Effort,
    /// The manifest has `before.lint`.
    desired: bool,
}

/// Lints what is pending.
pub(super) async fn read(
    context: &Context,
    connection: &mut PgConnection,
    source: &SourceTree,
    pending: &[usize],
) -> Result<Linted, QueryError> {
    let desired = &context.manifest.lint;
    let release: Vec<&Migration> = pending.iter().map(|at| &source.migrations[*at]).collect();
    let weights = Weights { preset: desired.preset, rules: desired.rules.clone() };
    let scope = TableScope {
        schema: context.manifest.schemas.first().map_or("public", String::as_str),
        large: Large { rows: desired.large_rows, bytes: desired.large_bytes },
        protected: &desired.protected_tables,
    };
    let tables =
        if release.is_empty() { Tables::default() } else { tables(connection, &release, scope).await? };
    let remarks =
        lint::remarks(source, context.manifest.format, &release, &tables, &weights, &Before::default());
    let all = remarks.as_deref().unwrap_or_default();
    let (class, effort) = (lint::class(all), lint::effort(all, &tables));
    let remarks = remarks.map_err(|error| format!("lint could not read the release: {error}"));
    let remarks = remarks.map(|mut remarks| {
        // What does not go back to Prisma is said by `sluice lint`: a run has no use for it.
        remarks.retain(|remark| remark.weight > Weight::Off && remark.rule.kind != lint::Kind::Notice);
        remarks.sort_by_key(|remark| std::cmp::Reverse(remark.weight));
        remarks
    });
    Ok(Linted { remarks, class, effort, desired: *desired != validate::Lint::default() })
}

impl Linted {
    /// Adds what lint says to a plan that would pass.
    pub(super) fn judge(self, outcome: &mut Outcome) {
        let remarks = match self.remarks {
            Ok(remarks) => remarks,
            Err(message) if self.desired => {
                *outcome = Outcome::failed(Stage::Plan, Reason::StageFailed, message);
                return;
            }
            // A manifest without `before.lint` does not depend on it.
            Err(message) => {
                outcome.message = format!("{}; {message}", outcome.message);
                return;
            }
        };
        let of = |weight| remarks.iter().filter(|remark| remark.weight == weight).count();
        let refused = match (of(Weight::Fail), of(Weight::Approve)) {
            (0, 0) => None,
            (0, approve) => Some((Reason::ApprovalNeeded, approve, "needs an approval for")),
            (fail, _) => Some((Reason::LintFailed, fail, "stops the release for")),
        };
        let first = remarks.first().map(told).unwrap_or_default();
        outcome.findings.extend(remarks.iter().map(finding));
        outcome.findings.sort();
        match refused {
            Some((reason, count, what)) => {
                outcome.verdict = Verdict::Failed;
                outcome.reason = reason;
                outcome.message = format!(
                    "lint {what} {count} of its objections; the first: {first}; rewrite the migration, or say in \
                        it why it is right: `-- sluice: allow RULE reason=\"…\"`"
                );
            }
            None => {
                outcome.message =
                    format!("{}; {}, {}", outcome.message, self.class.name(), self.effort.name());
            }
        }
    }
}

fn told(remark: &Remark) -> String {
    let place = remark.place.as_ref().map(|place| format!("{}:{}: ", place.file, place.line));
    format!("{}{}: {}", place.unwrap_or_default(), remark.rule.id, remark.message)
}

fn finding(remark: &Remark) -> Finding {
    Finding {
        check: CheckId::Lint,
        object: remark.object.clone(),
        severity: if remark.weight > Weight::Warn { Severity::Error } else { Severity::Warning },
        message: told(remark),
        remedy: remark.remedy.clone(),
    }
}
