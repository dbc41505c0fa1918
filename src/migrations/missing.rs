//! What was applied and is not in the source: an older release, another database's source, or files that are gone. PURE.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{Comparison, HistoryRow, SourceTree, divergence, order, phase_of};
use crate::api::History;

/// Whether all of `missing` come after all that the source has: by the time at which they were applied, or by
/// name, phase by phase.
fn are_the_newest(missing: &[&HistoryRow], present: &[&HistoryRow]) -> bool {
    let first = missing.iter().map(|row| row.finished_at).min();
    let last = present.iter().map(|row| row.finished_at).max();
    let by_name = missing.iter().all(|missing| {
        let own = present.iter().filter(|row| phase_of(&row.name) == phase_of(&missing.name));
        own.clone().all(|row| order::compare(&row.name, &missing.name) == Ordering::Less)
    });
    first > last || by_name
}

/// Nothing is missing but files of phases of which nothing is left: a person who took them out of the
/// manifest left their policies behind.
fn is_a_phase_without_a_source(missing: &[&HistoryRow], source: &SourceTree) -> bool {
    let is_known = |row: &&HistoryRow| {
        source.migrations.iter().any(|migration| migration.phase() == phase_of(&row.name))
    };
    missing.iter().all(|row| phase_of(&row.name).is_some()) && !missing.iter().all(is_known)
}

impl Comparison {
    /// What is applied and not in the source. A source that has nothing in common with the history is another
    /// database's.
    pub(super) fn check_missing(
        &mut self,
        source: &SourceTree,
        applied: &BTreeMap<&str, &HistoryRow>,
        history: &History,
    ) {
        let known: BTreeSet<&str> =
            source.migrations.iter().map(|migration| migration.name.as_str()).collect();
        let (present, missing): (Vec<&HistoryRow>, Vec<&HistoryRow>) =
            applied.values().copied().partition(|row| known.contains(row.name.as_str()));
        let (accepted, missing): (Vec<&HistoryRow>, Vec<&HistoryRow>) =
            missing.into_iter().partition(|row| history.accepted(&row.name).is_some());
        self.findings.extend(accepted.iter().map(|row| divergence::missing_and_accepted(&row.name, history)));
        if missing.is_empty() {
            return;
        }
        let is_own = |row: &&HistoryRow| phase_of(&row.name).is_none();
        if missing.iter().any(is_own) && !present.iter().chain(&accepted).any(is_own) {
            self.findings.push(divergence::nothing_in_common(&self.applied));
        } else if self.pending.is_empty()
            && are_the_newest(&missing, &present)
            && !is_a_phase_without_a_source(&missing, source)
        {
            let is_ahead = |name: &&String| missing.iter().any(|row| row.name == **name);
            self.ahead = self.applied.iter().filter(is_ahead).cloned().collect();
            self.findings.push(divergence::ahead(&self.ahead));
        } else {
            let names: Vec<&str> = missing.iter().map(|row| row.name.as_str()).collect();
            self.findings.extend(divergence::missing(&names, history));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::compare::tests::{at, compare, reason, row, severities, source, with},
        *,
    };
    use crate::api::{AcceptedMigration, CheckId, MissingMigrations, Reason, Severity};

    fn accepting(name: &str) -> History {
        let accept = vec![AcceptedMigration { name: name.to_owned(), reason: "reviewed".to_owned() }];
        History { accept, ..History::default() }
    }

    #[test]
    fn a_migration_missing_in_the_middle_is_told_or_refused_or_accepted() {
        let (tree, rows) = (source(&["2_b", "3_c"]), [at("1_a", 1), at("2_b", 2)]);
        let told = compare(&tree, &rows, None);
        assert_eq!(
            (severities(&told), &told.objection),
            (vec![(CheckId::MissingMigration, "1_a", Severity::Warning)], &None)
        );
        assert_eq!((told.pending, told.ahead), (vec![1], Vec::<String>::new()));
        let refuse = History { missing: MissingMigrations::Refuse, ..History::default() };
        let refused = with(&tree, &rows, &refuse);
        assert_eq!(reason(&refused), Some(Reason::HistoryDiverged));
        assert_eq!(severities(&refused), [(CheckId::MissingMigration, "1_a", Severity::Error)]);
        let accepted = with(&tree, &rows, &History { accept: accepting("1_a").accept, ..refuse });
        assert_eq!(
            (severities(&accepted), &accepted.objection),
            (vec![(CheckId::MissingMigration, "1_a", Severity::Information)], &None)
        );
    }

    #[test]
    fn many_that_are_missing_are_one_finding_that_names_the_newest() {
        let names: Vec<String> = (10..40).map(|n| format!("{n}_x")).collect();
        let rows: Vec<HistoryRow> =
            names.iter().map(String::as_str).chain(["50_squashed"]).map(row).collect();
        let comparison = compare(&source(&["50_squashed"]), &rows, None);
        assert_eq!(severities(&comparison), [(CheckId::MissingMigration, "39_x", Severity::Warning)]);
        let message = &comparison.findings[0].message;
        assert!(
            message.contains("\"30_x\"")
                && message.contains("\"39_x\" and 20 more")
                && !message.contains("29_x"),
            "{message}"
        );
    }

    #[test]
    fn a_source_that_lacks_exactly_the_newest_is_older_than_the_database() {
        let rows = [at("1_a", 1), at("2_b", 2), at("3_c", 3)];
        for history in
            [History::default(), History { missing: MissingMigrations::Refuse, ..History::default() }]
        {
            let comparison = with(&source(&["1_a"]), &rows, &history);
            assert_eq!(
                (comparison.ahead.as_slice(), &comparison.objection),
                (["2_b".to_owned(), "3_c".to_owned()].as_slice(), &None)
            );
            assert_eq!(severities(&comparison), [(CheckId::MissingMigration, "3_c", Severity::Information)]);
            assert_eq!(comparison.applied, ["1_a", "2_b", "3_c"], "what is applied stays applied");
        }
    }

    #[test]
    fn a_release_that_brought_a_late_name_may_be_reverted_too() {
        let rows = [at("1_a", 1), at("2_late", 3), at("3_c", 2), at("4_d", 3)];
        assert_eq!(compare(&source(&["1_a", "3_c"]), &rows, None).ahead, ["2_late", "4_d"]);
        let imported = [at("1_a", 9), at("2_b", 5), at("3_c", 1)];
        assert_eq!(
            compare(&source(&["1_a", "2_b"]), &imported, None).ahead,
            ["3_c"],
            "by name, where the times say something else"
        );
    }

    #[test]
    fn a_source_that_is_older_and_has_something_pending_is_not_ahead() {
        let (tree, rows) = (source(&["1_a", "2_fix"]), [at("1_a", 1), at("3_c", 3)]);
        let told = compare(&tree, &rows, None);
        assert_eq!((told.ahead.len(), told.pending.as_slice(), &told.objection), (0, [1].as_slice(), &None));
        assert_eq!(severities(&told), [(CheckId::MissingMigration, "3_c", Severity::Warning)]);
        let refuse = History { missing: MissingMigrations::Refuse, ..History::default() };
        assert_eq!(reason(&with(&tree, &rows, &refuse)), Some(Reason::HistoryDiverged));
    }

    #[test]
    fn a_source_with_nothing_in_common_is_another_databases_and_refused_whatever_the_manifest_says() {
        let rows = [row("1_a"), row("2_b")];
        for tree in [source(&["1_other"]), source(&[])] {
            let comparison = compare(&tree, &rows, None);
            assert_eq!(reason(&comparison), Some(Reason::HistoryDiverged));
            assert!(
                comparison.findings[0].message.contains("none of the 2 applied migrations"),
                "{:?}",
                comparison.findings
            );
        }
    }

    #[test]
    fn a_file_of_a_phase_is_missed_whatever_the_manifest_says_about_missing_migrations() {
        let rows = [at("1_a", 1), at("security/010", 1), at("2_b", 2), at("security/020", 2)];
        let missed = compare(&source(&["1_a", "2_b", "security/020"]), &rows, None);
        assert_eq!(severities(&missed), [(CheckId::MissingMigration, "security/010", Severity::Error)]);
        assert_eq!(
            compare(&source(&["1_a", "security/010"]), &rows, None).ahead,
            ["2_b", "security/020"],
            "a release was reverted"
        );
    }

    #[test]
    fn a_phase_that_was_taken_out_of_the_manifest_is_missed() {
        let comparison = compare(&source(&["1_a"]), &[row("1_a"), row("security/010")], None);
        assert_eq!(reason(&comparison), Some(Reason::HistoryDiverged));
        assert!(
            comparison.findings[0].remedy.contains("spec.migrations.phases"),
            "{:?}",
            comparison.findings
        );
    }
}
