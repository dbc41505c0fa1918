//! Source against history: what is applied, what is pending, and what does not fit. PURE.
//!
//! A history is a set with an order, and no prefix of the source: a late name may be applied after newer
//! ones, and one that is applied may be missing from the source. What that means is in
//! `spec.migrations.history`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    HistoryRow, Migration, RowState, Rules, SourceTree,
    checksum::{self, Match},
    divergence,
    held::{Held, Holds, first_held},
    order,
};
use crate::api::{CheckId, Finding, Reason, Severity};

/// How source and history relate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Applied migrations in the order in which they were applied, those missing from the source included.
    pub applied: Vec<String>,
    /// Indexes into the source: what is to be applied, in order.
    pub pending: Vec<usize>,
    /// Applied, missing from the source, and exactly the newest ones there are, while nothing is pending: the
    /// source is older than the database. In the order in which they were applied.
    pub ahead: Vec<String>,
    /// The first migration that waits for its time; it and those after it are not pending.
    pub held: Option<Held>,
    /// What does not fit. Errors stop the run.
    pub findings: Vec<Finding>,
    /// The worst of it, and a sentence about it.
    pub objection: Option<(Reason, String)>,
}

/// Compares. The target stops early; it never skips, and it does not stop phases: tables without their
/// policies are worse than a phase that fails because it was written for a later schema.
pub fn compare(source: &SourceTree, rows: &[HistoryRow], rules: &Rules<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    let applied: BTreeMap<&str, &HistoryRow> = rows
        .iter()
        .filter(|row| row.state() == RowState::Applied)
        .map(|row| (row.name.as_str(), row))
        .collect();

    let end = comparison.end(source, rules.target);
    let end = comparison.hold(source, &applied, rules.holds, end);
    let newest = newest(source, &applied);
    for (at, migration) in source.migrations.iter().enumerate() {
        let row = applied.get(migration.name.as_str());
        if let Some(row) = row.filter(|row| !runs_again(migration, row)) {
            comparison.findings.extend(divergence::edited(migration, row, rules));
        } else if at < end || migration.phase().is_some() {
            comparison.pending.push(at);
            // Each phase has an order of its own.
            if let Some(later) =
                newest.get(&migration.phase()).filter(|newest| row.is_none() && at < **newest)
            {
                comparison.findings.push(divergence::late(
                    &migration.name,
                    &source.migrations[*later].name,
                    rules.history,
                ));
            }
        }
    }
    comparison.applied = in_order_of_application(source, &applied);
    comparison.check_missing(source, &applied, rules.history);
    comparison.check_failed(rows);
    comparison.conclude();
    comparison
}

/// The newest applied migration of the source, for each phase and for those of no phase.
fn newest<'a>(
    source: &'a SourceTree,
    applied: &BTreeMap<&str, &HistoryRow>,
) -> BTreeMap<Option<&'a str>, usize> {
    let present = source
        .migrations
        .iter()
        .enumerate()
        .filter(|(_, migration)| applied.contains_key(migration.name.as_str()));
    present.map(|(at, migration)| (migration.phase(), at)).collect()
}

/// A file that may run any number of times, and is not the one that ran.
fn runs_again(migration: &Migration, row: &HistoryRow) -> bool {
    migration.repeatable
        && checksum::compare(&migration.sql, &migration.checksum, &row.checksum) == Match::Different
}

/// What is applied, in the order in which that happened: the history's times say it, also how phases
/// alternate with migrations. Equal times are of one release, which keeps the order of the source.
fn in_order_of_application(source: &SourceTree, applied: &BTreeMap<&str, &HistoryRow>) -> Vec<String> {
    let place: BTreeMap<&str, usize> =
        source.migrations.iter().enumerate().map(|(at, migration)| (migration.name.as_str(), at)).collect();
    let mut rows: Vec<&HistoryRow> = applied.values().copied().collect();
    rows.sort_by(|a, b| {
        let places = match (place.get(a.name.as_str()), place.get(b.name.as_str())) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => order::compare(&a.name, &b.name),
        };
        a.finished_at.cmp(&b.finished_at).then(places)
    });
    rows.into_iter().map(|row| row.name.clone()).collect()
}

impl Comparison {
    fn end(&mut self, source: &SourceTree, target: Option<&str>) -> usize {
        let Some(target) = target else { return source.migrations.len() };
        if let Some(at) = source
            .migrations
            .iter()
            .position(|migration| migration.phase().is_none() && migration.name == target)
        {
            return at + 1;
        }
        let message = format!(
            "spec.migrations.target names {target:?}, which the source does not have: correct the name, or \
                add the migration"
        );
        self.objection = Some((Reason::TargetNotFound, message));
        0
    }

    /// Where to stop because what follows is held, and it is told where the target does not stop before.
    fn hold(
        &mut self,
        source: &SourceTree,
        applied: &BTreeMap<&str, &HistoryRow>,
        holds: Holds<'_>,
        end: usize,
    ) -> usize {
        match first_held(source, applied, holds) {
            Ok(held) => self.held = held.filter(|held| held.at < end),
            Err(message) => {
                self.objection.get_or_insert((Reason::SourceInvalid, message));
            }
        }
        self.held.as_ref().map_or(end, |held| held.at)
    }

    fn check_failed(&mut self, rows: &[HistoryRow]) {
        let applied: BTreeSet<&str> = self.applied.iter().map(String::as_str).collect();
        let failed =
            rows.iter().filter(|row| row.state() == RowState::Failed && !applied.contains(row.name.as_str()));
        self.findings.extend(failed.map(divergence::failed));
    }

    fn conclude(&mut self) {
        self.findings.sort();
        let errors: Vec<_> =
            self.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        if self.objection.is_some() || errors.is_empty() {
            return;
        }
        let dirty = errors.iter().find(|finding| finding.check == CheckId::FailedMigration);
        let (reason, first) = match dirty {
            Some(finding) => (Reason::HistoryDirty, finding),
            None => (Reason::HistoryDiverged, &errors[0]),
        };
        let more = if errors.len() > 1 {
            format!(" ({} more in status.findings)", errors.len() - 1)
        } else {
            String::new()
        };
        self.objection = Some((reason, format!("{}: {}{more}", first.message, first.remedy)));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        api::{AcceptedMigration, EditedMigrations, History, LateMigrations},
        migrations::Migration,
    };

    const NONE: crate::migrations::Holds = crate::migrations::Holds::Only(None);

    pub(in crate::migrations) fn source(names: &[&str]) -> SourceTree {
        let migration = |name: &&str| {
            let sql = format!("SELECT '{name}';\n");
            Migration::new((*name).to_owned(), format!("{name}/migration.sql"), sql)
        };
        SourceTree { migrations: names.iter().map(migration).collect(), ..SourceTree::default() }
    }

    pub(in crate::migrations) fn row(name: &str) -> HistoryRow {
        HistoryRow {
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

    pub(in crate::migrations) fn with(
        source: &SourceTree,
        rows: &[HistoryRow],
        history: &History,
    ) -> Comparison {
        super::compare(source, rows, &Rules { target: None, history, texts: &BTreeMap::new(), holds: NONE })
    }

    /// With the defaults of the manifest.
    pub(in crate::migrations) fn compare(
        source: &SourceTree,
        rows: &[HistoryRow],
        target: Option<&str>,
    ) -> Comparison {
        super::compare(
            source,
            rows,
            &Rules { target, history: &History::default(), texts: &BTreeMap::new(), holds: NONE },
        )
    }

    pub(in crate::migrations) fn severities(comparison: &Comparison) -> Vec<(CheckId, &str, Severity)> {
        comparison
            .findings
            .iter()
            .map(|finding| (finding.check.clone(), finding.object.as_str(), finding.severity))
            .collect()
    }

    fn accepting(name: &str) -> History {
        let accept = vec![AcceptedMigration { name: name.to_owned(), reason: "reviewed".to_owned() }];
        History { accept, ..History::default() }
    }

    pub(in crate::migrations) fn reason(comparison: &Comparison) -> Option<Reason> {
        comparison.objection.as_ref().map(|(reason, _)| *reason)
    }

    #[test]
    fn an_empty_history_has_everything_pending() {
        let comparison = compare(&source(&["1_a", "2_b"]), &[], None);
        assert_eq!(
            (comparison.pending, comparison.applied.len(), comparison.objection),
            (vec![0, 1], 0, None)
        );
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
    fn an_edited_migration_is_a_warning_or_information_where_the_manifest_says_so() {
        let mut edited = row("1_a");
        edited.checksum = "0".repeat(64);
        let rows = [edited];
        let refused = compare(&source(&["1_a"]), &rows, None);
        assert!(
            refused.findings[0].remedy.contains("accept: {name: 1_a, reason:"),
            "the remedy is told: {:?}",
            refused.findings
        );
        let warned =
            with(&source(&["1_a"]), &rows, &History { edited: EditedMigrations::Warn, ..History::default() });
        assert_eq!(
            (severities(&warned), &warned.objection),
            (vec![(CheckId::EditedMigration, "1_a", Severity::Warning)], &None)
        );
        let accepted = with(&source(&["1_a"]), &rows, &accepting("1_a"));
        assert_eq!(
            (severities(&accepted), &accepted.objection),
            (vec![(CheckId::EditedMigration, "1_a", Severity::Information)], &None)
        );
        assert!(accepted.findings[0].message.ends_with("reviewed"), "{:?}", accepted.findings);
        assert_eq!(reason(&with(&source(&["1_a"]), &rows, &accepting("1_b"))), Some(Reason::HistoryDiverged));
    }

    #[test]
    fn an_edit_of_comments_and_blanks_is_information_where_the_text_of_then_is_known() {
        let text = "-- first\nSELECT '1_a';";
        let applied = HistoryRow { checksum: checksum::checksum(text), ..row("1_a") };
        let texts = BTreeMap::from([(applied.checksum.clone(), text.to_owned())]);
        let with_texts = |name: &str| {
            let tree = SourceTree {
                migrations: vec![Migration::new(
                    "1_a".into(),
                    "1_a/migration.sql".into(),
                    format!("SELECT '{name}';\n"),
                )],
                ..SourceTree::default()
            };
            super::compare(
                &tree,
                std::slice::from_ref(&applied),
                &Rules { target: None, history: &History::default(), texts: &texts, holds: NONE },
            )
        };
        let same = with_texts("1_a");
        assert_eq!(
            (severities(&same), &same.objection),
            (vec![(CheckId::EditedMigration, "1_a", Severity::Information)], &None)
        );
        assert_eq!(reason(&with_texts("1_b")), Some(Reason::HistoryDiverged), "a string is no comment");
        assert_eq!(
            reason(&compare(&source(&["1_a"]), &[applied], None)),
            Some(Reason::HistoryDiverged),
            "the text of then is not known"
        );
    }

    #[test]
    fn a_late_name_is_applied_with_a_warning_that_names_both_or_refused() {
        let (tree, rows) = (source(&["1_a", "2_b"]), [row("2_b")]);
        let applied = compare(&tree, &rows, None);
        assert_eq!((applied.pending.as_slice(), &applied.objection), ([0].as_slice(), &None));
        assert_eq!(severities(&applied), [(CheckId::OutOfOrder, "1_a", Severity::Warning)]);
        assert!(applied.findings[0].message.contains("2_b"));
        let refused = with(&tree, &rows, &History { late: LateMigrations::Refuse, ..History::default() });
        assert_eq!(reason(&refused), Some(Reason::HistoryDiverged));
        assert!(refused.findings[0].message.contains("2_b"));
    }

    #[test]
    fn a_failed_row_is_dirty_until_it_is_rolled_back_or_replaced() {
        let failed = HistoryRow { finished: false, ..row("1_a") };
        assert_eq!(
            reason(&compare(&source(&["1_a"]), std::slice::from_ref(&failed), None)),
            Some(Reason::HistoryDirty)
        );
        let rolled_back = HistoryRow { rolled_back: true, checksum: "old".into(), ..failed.clone() };
        assert_eq!(compare(&source(&["1_a"]), &[rolled_back], None).objection, None);
        let resumable = HistoryRow { resumable: true, ..failed };
        let comparison = compare(&source(&["1_a"]), &[resumable], None);
        assert_eq!((comparison.pending, comparison.objection), (vec![0], None));
    }

    /// A source of one migration, one phase before it and one after it.
    pub(in crate::migrations) fn with_phases() -> SourceTree {
        source(&["types/1", "1_a", "2_b", "security/010", "security/020"])
    }

    pub(in crate::migrations) fn at(name: &str, finished_at: i64) -> HistoryRow {
        HistoryRow { finished_at, ..row(name) }
    }

    #[test]
    fn each_phase_has_an_order_of_its_own() {
        let rows = [at("1_a", 1), at("security/010", 1)];
        let comparison = compare(&with_phases(), &rows, None);
        assert_eq!((comparison.pending, comparison.objection), (vec![0, 2, 4], None));
        let late = compare(&with_phases(), &[at("1_a", 1), at("security/020", 1)], None);
        assert_eq!(severities(&late), [(CheckId::OutOfOrder, "security/010", Severity::Warning)]);
        assert!(
            late.findings[0].message.contains("security/010")
                && late.findings[0].message.contains("security/020")
        );
    }

    #[test]
    fn what_was_applied_is_told_in_the_order_of_the_releases() {
        let rows =
            [at("types/1", 1), at("1_a", 1), at("security/010", 1), at("2_b", 2), at("security/020", 2)];
        assert_eq!(
            compare(&with_phases(), &rows, None).applied,
            ["types/1", "1_a", "security/010", "2_b", "security/020"]
        );
    }

    #[test]
    fn a_late_name_stands_where_it_was_applied() {
        let rows = [at("1_a", 1), at("2_b", 3), at("3_c", 2)];
        assert_eq!(compare(&source(&["1_a", "2_b", "3_c"]), &rows, None).applied, ["1_a", "3_c", "2_b"]);
    }

    #[test]
    fn a_target_does_not_stop_phases_and_is_none_of_theirs() {
        assert_eq!(compare(&with_phases(), &[], Some("1_a")).pending, [0, 1, 3, 4]);
        assert_eq!(reason(&compare(&with_phases(), &[], Some("security/010"))), Some(Reason::TargetNotFound));
    }

    #[test]
    fn an_edited_file_runs_again_only_where_its_phase_is_repeatable() {
        let mut tree = with_phases();
        let rows = ["types/1", "1_a", "2_b", "security/010", "security/020"].map(row);
        tree.migrations[3] =
            Migration::new("security/010".into(), "security/010.sql".into(), "SELECT 'edited';");
        assert_eq!(compare(&tree, &rows, None).findings[0].check, CheckId::EditedMigration);
        tree.migrations[3].repeatable = true;
        let comparison = compare(&tree, &rows, None);
        assert_eq!((comparison.pending, comparison.objection), (vec![3], None));
        assert!(comparison.applied.contains(&"security/010".to_owned()), "what was applied stays applied");
        let again = HistoryRow { checksum: checksum::checksum("SELECT 'edited';"), ..row("security/010") };
        let rows: Vec<HistoryRow> = rows.into_iter().chain([again]).collect();
        assert_eq!(compare(&tree, &rows, None).pending, Vec::<usize>::new(), "the newest row counts");
    }
}
