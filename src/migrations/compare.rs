//! Source against ledger: what is applied, what is pending, and what does not fit. PURE.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    LedgerRow, Migration, RowState, SourceTree,
    checksum::{self, Match},
    phase_of,
};
use crate::api::{Finding, Reason, Severity};

/// How source and ledger relate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Applied migrations in the order in which they were applied, those missing from the source first.
    pub applied: Vec<String>,
    /// Indexes into the source: what is to be applied, in order.
    pub pending: Vec<usize>,
    /// What does not fit. Errors stop the run.
    pub findings: Vec<Finding>,
    /// The worst of it, and a sentence about it.
    pub objection: Option<(Reason, String)>,
}

/// Compares. `target` stops early; it never skips, and it does not stop phases: tables without their policies are worse than a phase that
/// fails because it was written for a later schema.
pub fn compare(source: &SourceTree, rows: &[LedgerRow], target: Option<&str>) -> Comparison {
    let mut comparison = Comparison::default();
    let applied: BTreeMap<&str, &LedgerRow> =
        rows.iter().filter(|row| row.state() == RowState::Applied).map(|row| (row.name.as_str(), row)).collect();
    let known: BTreeSet<&str> = source.migrations.iter().map(|migration| migration.name.as_str()).collect();

    for name in applied.keys().filter(|name| !known.contains(*name)) {
        comparison.applied.push((*name).to_owned());
        comparison.object("missing-migration", name, "is applied but missing from the source", missing(name));
    }
    let present = source.migrations.iter().enumerate().filter(|(_, migration)| applied.contains_key(migration.name.as_str()));
    let newest: BTreeMap<Option<&str>, usize> = present.map(|(at, migration)| (migration.phase(), at)).collect();
    let end = comparison.end(source, target);
    for (at, migration) in source.migrations.iter().enumerate() {
        let row = applied.get(migration.name.as_str());
        if let Some(row) = row.filter(|row| !runs_again(migration, row)) {
            comparison.check_checksum(&migration.sql, &migration.checksum, row);
        } else if at < end || migration.phase().is_some() {
            comparison.pending.push(at);
            // Each phase has an order of its own.
            if let Some(later) = newest.get(&migration.phase()).filter(|newest| row.is_none() && at < **newest) {
                let message = format!("is pending but older than {:?}, which is applied", source.migrations[*later].name);
                comparison.object("out-of-order", &migration.name, &message, "give it a name later than every applied one");
            }
        }
    }
    comparison.applied.extend(in_order_of_application(source, &applied));
    comparison.check_failed(rows);
    comparison.conclude();
    comparison
}

fn missing(name: &str) -> &'static str {
    match phase_of(name) {
        None => "restore its folder; applied migrations stay in the source for ever",
        Some(_) => "restore its file, and its phase in spec.migrations.phases; what is applied stays in the source for ever",
    }
}

/// A file that may run any number of times, and is not the one that ran.
fn runs_again(migration: &Migration, row: &LedgerRow) -> bool {
    migration.repeatable && checksum::compare(&migration.sql, &migration.checksum, &row.checksum) == Match::Different
}

/// What is applied, in the order in which that happened. The source has an order for each phase only, the ledger's times say how they
/// alternate: a release is applied whole before the next one. Equal times are of one release, which keeps the order of the source.
fn in_order_of_application(source: &SourceTree, applied: &BTreeMap<&str, &LedgerRow>) -> Vec<String> {
    let mut lines: BTreeMap<Option<&str>, VecDeque<(i64, usize)>> = BTreeMap::new();
    for (at, migration) in source.migrations.iter().enumerate() {
        if let Some(row) = applied.get(migration.name.as_str()) {
            lines.entry(migration.phase()).or_default().push_back((row.finished_at, at));
        }
    }
    let mut names = Vec::new();
    while let Some(line) = lines.values_mut().filter(|line| !line.is_empty()).min_by_key(|line| line[0]) {
        names.extend(line.pop_front().map(|(_, at)| source.migrations[at].name.clone()));
    }
    names
}

impl Comparison {
    fn end(&mut self, source: &SourceTree, target: Option<&str>) -> usize {
        let Some(target) = target else { return source.migrations.len() };
        if let Some(at) = source.migrations.iter().position(|migration| migration.phase().is_none() && migration.name == target) {
            return at + 1;
        }
        let message =
            format!("spec.migrations.target names {target:?}, which the source does not have: correct the name, or add the migration");
        self.objection = Some((Reason::TargetNotFound, message));
        0
    }

    fn object(&mut self, check: &str, object: &str, message: &str, remedy: &str) {
        self.findings.push(Finding {
            check: check.to_owned(),
            object: object.to_owned(),
            severity: Severity::Error,
            message: format!("{object:?} {message}"),
            remedy: remedy.to_owned(),
        });
    }

    fn check_checksum(&mut self, sql: &str, checksum: &str, row: &LedgerRow) {
        match checksum::compare(sql, checksum, &row.checksum) {
            Match::Exact => {}
            Match::LineEndings => self.findings.push(Finding {
                check: "line-endings".to_owned(),
                object: row.name.clone(),
                severity: Severity::Information,
                message: format!("{:?} has other line endings than when it was applied", row.name),
                remedy: "nothing to do; a .gitattributes file with `*.sql text eol=lf` keeps them equal".to_owned(),
            }),
            Match::Different => {
                let message = format!("was edited after it was applied: the ledger has {}, the source {checksum}", row.checksum);
                self.object(
                    "edited-migration",
                    &row.name,
                    &message,
                    "restore the file as it was applied and put the change into a new migration",
                );
            }
        }
    }

    fn check_failed(&mut self, rows: &[LedgerRow]) {
        let applied: BTreeSet<&str> = self.applied.iter().map(String::as_str).collect();
        let failed: Vec<_> = rows.iter().filter(|row| row.state() == RowState::Failed && !applied.contains(row.name.as_str())).collect();
        for row in failed {
            let message = format!("began {} and did not finish, by another tool than Sluice", row.started_at);
            let remedy = format!(
                "find out whether its statements are there, then add to spec.migrations.resolve: {{name: {}, as: Applied}} or {{name: {0}, as: RolledBack}}",
                row.name
            );
            self.object("failed-migration", &row.name, &message, &remedy);
        }
    }

    fn conclude(&mut self) {
        self.findings.sort();
        let errors: Vec<_> = self.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        if self.objection.is_some() || errors.is_empty() {
            return;
        }
        let dirty = errors.iter().find(|finding| finding.check == "failed-migration");
        let (reason, first) = match dirty {
            Some(finding) => (Reason::HistoryDirty, finding),
            None => (Reason::HistoryDiverged, &errors[0]),
        };
        let more = if errors.len() > 1 { format!(" ({} more in status.findings)", errors.len() - 1) } else { String::new() };
        self.objection = Some((reason, format!("{}: {}{more}", first.message, first.remedy)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::Migration;

    fn source(names: &[&str]) -> SourceTree {
        let migration = |name: &&str| {
            let sql = format!("SELECT '{name}';\n");
            Migration::new((*name).to_owned(), format!("{name}/migration.sql"), sql)
        };
        SourceTree { migrations: names.iter().map(migration).collect(), ..SourceTree::default() }
    }

    fn row(name: &str) -> LedgerRow {
        LedgerRow {
            id: name.to_owned(),
            checksum: checksum::checksum(&format!("SELECT '{name}';\n")),
            name: name.to_owned(),
            started_at: "2026-01-01 00:00:00Z".to_owned(),
            finished: true,
            rolled_back: false,
            resumable: false,
            finished_at: 1,
        }
    }

    fn reason(comparison: &Comparison) -> Option<Reason> {
        comparison.objection.as_ref().map(|(reason, _)| *reason)
    }

    #[test]
    fn an_empty_ledger_has_everything_pending() {
        let comparison = compare(&source(&["1_a", "2_b"]), &[], None);
        assert_eq!((comparison.pending, comparison.applied.len(), comparison.objection), (vec![0, 1], 0, None));
    }

    #[test]
    fn a_target_stops_early_and_never_skips() {
        let tree = source(&["1_a", "2_b", "3_c"]);
        assert_eq!(compare(&tree, &[row("1_a")], Some("2_b")).pending, [1]);
        assert_eq!(reason(&compare(&tree, &[], Some("2_x"))), Some(Reason::TargetNotFound));
    }

    #[test]
    fn an_edited_migration_is_named_with_both_checksums() {
        let mut edited = row("1_a");
        edited.checksum = "0".repeat(64);
        let comparison = compare(&source(&["1_a"]), &[edited], None);
        assert_eq!(reason(&comparison), Some(Reason::HistoryDiverged));
        let message = &comparison.findings[0].message;
        assert!(message.contains("1_a") && message.contains(&"0".repeat(64)), "{message}");
    }

    #[test]
    fn line_endings_are_information_only() {
        let mut other = row("1_a");
        other.checksum = checksum::checksum("SELECT '1_a';\r\n");
        let comparison = compare(&source(&["1_a"]), &[other], None);
        assert_eq!((comparison.findings.len(), comparison.objection), (1, None));
    }

    #[test]
    fn a_migration_missing_from_the_source_is_named() {
        let comparison = compare(&source(&["2_b"]), &[row("1_a"), row("2_b")], None);
        assert_eq!(reason(&comparison), Some(Reason::HistoryDiverged));
        assert_eq!(comparison.findings[0].check, "missing-migration");
    }

    #[test]
    fn a_late_name_is_out_of_order_and_names_both() {
        let comparison = compare(&source(&["1_a", "2_b"]), &[row("2_b")], None);
        assert_eq!(comparison.findings[0].check, "out-of-order");
        assert!(comparison.findings[0].message.contains("2_b"));
    }

    #[test]
    fn a_failed_row_is_dirty_until_it_is_rolled_back_or_replaced() {
        let failed = LedgerRow { finished: false, ..row("1_a") };
        assert_eq!(reason(&compare(&source(&["1_a"]), std::slice::from_ref(&failed), None)), Some(Reason::HistoryDirty));
        let rolled_back = LedgerRow { rolled_back: true, checksum: "old".into(), ..failed.clone() };
        assert_eq!(compare(&source(&["1_a"]), &[rolled_back], None).objection, None);
        let resumable = LedgerRow { resumable: true, ..failed };
        let comparison = compare(&source(&["1_a"]), &[resumable], None);
        assert_eq!((comparison.pending, comparison.objection), (vec![0], None));
    }

    /// A source of one migration, one phase before it and one after it.
    fn with_phases() -> SourceTree {
        source(&["types/1", "1_a", "2_b", "security/010", "security/020"])
    }

    fn at(name: &str, finished_at: i64) -> LedgerRow {
        LedgerRow { finished_at, ..row(name) }
    }

    #[test]
    fn each_phase_has_an_order_of_its_own() {
        let rows = [at("1_a", 1), at("security/010", 1)];
        let comparison = compare(&with_phases(), &rows, None);
        assert_eq!((comparison.pending, comparison.objection), (vec![0, 2, 4], None));
        let late = compare(&with_phases(), &[at("1_a", 1), at("security/020", 1)], None);
        assert_eq!(late.findings[0].check, "out-of-order");
        assert!(late.findings[0].message.contains("security/010") && late.findings[0].message.contains("security/020"));
    }

    #[test]
    fn what_was_applied_is_told_in_the_order_of_the_releases() {
        let rows = [at("types/1", 1), at("1_a", 1), at("security/010", 1), at("2_b", 2), at("security/020", 2)];
        assert_eq!(compare(&with_phases(), &rows, None).applied, ["types/1", "1_a", "security/010", "2_b", "security/020"]);
    }

    #[test]
    fn a_target_does_not_stop_phases_and_is_none_of_theirs() {
        assert_eq!(compare(&with_phases(), &[], Some("1_a")).pending, [0, 1, 3, 4]);
        assert_eq!(reason(&compare(&with_phases(), &[], Some("security/010"))), Some(Reason::TargetNotFound));
    }

    #[test]
    fn a_phase_that_was_taken_out_of_the_manifest_is_missed() {
        let comparison = compare(&source(&["1_a"]), &[row("1_a"), row("security/010")], None);
        assert_eq!(reason(&comparison), Some(Reason::HistoryDiverged));
        assert!(comparison.findings[0].remedy.contains("spec.migrations.phases"), "{:?}", comparison.findings);
    }

    #[test]
    fn an_edited_file_runs_again_only_where_its_phase_is_repeatable() {
        let mut tree = with_phases();
        let rows = ["types/1", "1_a", "2_b", "security/010", "security/020"].map(row);
        tree.migrations[3] = Migration::new("security/010".into(), "security/010.sql".into(), "SELECT 'edited';".into());
        assert_eq!(compare(&tree, &rows, None).findings[0].check, "edited-migration");
        tree.migrations[3].repeatable = true;
        let comparison = compare(&tree, &rows, None);
        assert_eq!((comparison.pending, comparison.objection), (vec![3], None));
        assert!(comparison.applied.contains(&"security/010".to_owned()), "what was applied stays applied");
        let again = LedgerRow { checksum: checksum::checksum("SELECT 'edited';"), ..row("security/010") };
        let rows: Vec<LedgerRow> = rows.into_iter().chain([again]).collect();
        assert_eq!(compare(&tree, &rows, None).pending, Vec::<usize>::new(), "the newest row counts");
    }
}
