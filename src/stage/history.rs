//! Source and history together, as a person's verdicts in the manifest change them. Shared by plan, migrate
//! and verify.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sqlx::PgConnection;

use crate::{
    api::{HeldMigration, Resolve, ResolveAs},
    contract::HistorySummary,
    migrations::{
        Comparison, Held, HistoryRow, Match, Migration, RowState, Rules, Script, SourceTree, compare,
        compare_text, in_order, phase_of,
    },
    postgres::{QueryError, read_texts},
};

/// The history as it will be once the manifest's verdicts are carried out, and how many rows they concern.
/// PURE.
pub(super) fn resolved(
    rows: &[HistoryRow],
    verdicts: &[Resolve],
    source: &SourceTree,
) -> (Vec<HistoryRow>, u32) {
    let mut rows = rows.to_vec();
    let mut count = 0;
    for verdict in verdicts {
        let migration = source.migrations.iter().find(|migration| migration.name == verdict.name);
        if migration.is_none() && verdict.verdict == ResolveAs::Applied {
            // Applied means that its file, with this checksum, is. The row stays failed, and the comparison
            // says so.
            continue;
        }
        let mut failed = false;
        for row in rows.iter_mut().filter(|row| row.name == verdict.name && row.state() == RowState::Failed) {
            row.rolled_back = true;
            failed = true;
        }
        count += u32::from(failed);
        if let (true, ResolveAs::Applied, Some(migration)) = (failed, verdict.verdict, migration) {
            rows.push(HistoryRow {
                id: String::new(),
                checksum: migration.checksum.clone(),
                name: migration.name.clone(),
                started_at: String::new(),
                finished: true,
                rolled_back: false,
                resumable: false,
                finished_at: i64::MAX,
            });
        }
    }
    (rows, count)
}

/// The texts of applied migrations whose file is another one now, or gone, by their checksums: as far as
/// Sluice kept them.
pub(super) async fn texts(
    connection: &mut PgConnection,
    source: &SourceTree,
    rows: &[HistoryRow],
) -> Result<BTreeMap<String, String>, QueryError> {
    let known: BTreeMap<&str, &Migration> =
        source.migrations.iter().map(|migration| (migration.name.as_str(), migration)).collect();
    let is_other = |row: &&HistoryRow| {
        let same = |migration: &&Migration| {
            compare_text(&migration.sql, &migration.checksum, &row.checksum) != Match::Different
        };
        row.state() == RowState::Applied
            && known.get(row.name.as_str()).is_none_or(|migration| !same(migration))
    };
    let checksums: Vec<&str> = rows.iter().filter(is_other).map(|row| row.checksum.as_str()).collect();
    read_texts(connection, &checksums).await
}

/// The source as it was applied: with the texts of then where a file is another one now or gone, as far as
/// they are known. PURE.
pub(super) fn as_applied(
    source: &SourceTree,
    rows: &[HistoryRow],
    texts: &BTreeMap<String, String>,
) -> SourceTree {
    let mut applied = source.clone();
    for row in rows.iter().filter(|row| row.state() == RowState::Applied) {
        let Some(text) = texts.get(&row.checksum) else { continue };
        let place = applied.migrations.iter().position(|migration| migration.name == row.name);
        let file = place.map_or_else(|| row.name.clone(), |at| applied.migrations[at].file.clone());
        let then = Migration::new(row.name.clone(), file, text.clone());
        match place {
            Some(at) => applied.migrations[at] = then,
            None => applied.migrations.push(then),
        }
    }
    applied
}

/// Compares and summarises. The digest is that of the rows as they are, not as they will be once the verdicts
/// are carried out.
pub(super) fn summarise(
    source: &SourceTree,
    rows: &[HistoryRow],
    verdicts: &[Resolve],
    rules: &Rules<'_>,
    server_major: u32,
) -> (Comparison, HistorySummary) {
    let (future, resolving) = resolved(rows, verdicts, source);
    let comparison = compare(source, &future, rules);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let summary = HistorySummary {
        current: newest(&comparison.applied),
        applied_count: count(comparison.applied.len()),
        applied: comparison.applied.iter().rev().cloned().collect(),
        pending_count: count(comparison.pending.len()),
        pending: comparison.pending.iter().map(|at| source.migrations[*at].name.clone()).collect(),
        history_digest: HistoryRow::digest(rows),
        source_digest: source.digest.clone(),
        server_major,
        held: comparison.held.as_ref().map(told),
        resolving,
        baselining: 0,
        texts: 0,
        database: None,
    };
    (comparison, summary)
}

/// As the status tells it. PURE.
fn told(held: &Held) -> HeldMigration {
    let second = |at: Timestamp| Time(Timestamp::from_second(at.as_second()).unwrap_or(at));
    HeldMigration {
        migration: held.migration.clone(),
        of: held.contract.of.clone(),
        count: u32::try_from(held.count).unwrap_or(u32::MAX),
        since: held.since.map(second),
        eligible_at: held.eligible_at.map(second),
        gate: "Age".to_owned(),
        message: held.message(),
    }
}

/// The version of a database is that of its newest migration in Prisma's order, whenever it was applied;
/// phases hang on to it, unless there is nothing else. PURE.
fn newest(applied: &[String]) -> Option<String> {
    let own = applied.iter().filter(|name| phase_of(name).is_none());
    own.max_by(|a, b| in_order(a, b)).or(applied.last()).cloned()
}

/// The pending files, split. One that an earlier attempt began step by step goes on so. PURE.
pub(super) fn scripts(
    source: &SourceTree,
    pending: &[usize],
    rows: &[HistoryRow],
) -> Result<Vec<Script>, String> {
    let script = |at: &usize| {
        let migration = &source.migrations[*at];
        let resumed = rows.iter().any(|row| row.name == migration.name && row.state() == RowState::Resumable);
        let mut script = migration.script().map_err(|error| format!("{}: {error}", migration.file))?.clone();
        script.resumed = resumed;
        Ok(script)
    };
    pending.iter().map(script).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::History;

    fn pending(source: &SourceTree, rows: &[HistoryRow]) -> Vec<usize> {
        let (history, texts) = (History::default(), BTreeMap::new());
        let holds = crate::migrations::Holds::Only(None);
        compare(source, rows, &Rules { target: None, history: &history, texts: &texts, holds }).pending
    }

    #[test]
    fn the_version_is_the_newest_name_and_not_the_one_that_was_applied_last() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(newest(&names(&["1_a", "3_c", "2_late", "security/010"])).as_deref(), Some("3_c"));
        assert_eq!(newest(&names(&["security/010"])).as_deref(), Some("security/010"));
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn what_was_applied_is_replayed_with_the_texts_of_then_as_far_as_they_are_known() {
        let migration =
            |name: &str, sql: &str| Migration::new(name.into(), format!("{name}/migration.sql"), sql);
        let row = |name: &str, sql: &str| HistoryRow {
            id: name.into(),
            checksum: migration(name, sql).checksum,
            name: name.into(),
            started_at: String::new(),
            finished: true,
            rolled_back: false,
            resumable: false,
            finished_at: 1,
        };
        let source = SourceTree {
            migrations: vec![migration("1_a", "new"), migration("2_b", "new")],
            ..SourceTree::default()
        };
        let rows = [row("1_a", "old"), row("2_b", "unknown"), row("3_gone", "gone")];
        let texts = [("1_a", "old"), ("3_gone", "gone")]
            .map(|(name, sql)| (migration(name, sql).checksum, sql.to_owned()));
        let applied = as_applied(&source, &rows, &texts.into());
        let found: Vec<_> =
            applied.migrations.iter().map(|migration| (migration.name.as_str(), &*migration.sql)).collect();
        assert_eq!(found, [("1_a", "old"), ("2_b", "new"), ("3_gone", "gone")]);
    }

    #[test]
    fn a_verdict_applies_to_failed_rows_only_and_only_once() {
        let sql = "SELECT 1;".to_owned();
        let migration = Migration::new("1_a".into(), "1_a/migration.sql".into(), sql);
        let source = SourceTree { migrations: vec![migration], ..SourceTree::default() };
        let failed = HistoryRow {
            id: "x".into(),
            checksum: "old".into(),
            name: "1_a".into(),
            started_at: String::new(),
            finished: false,
            rolled_back: false,
            resumable: false,
            finished_at: 0,
        };
        let applied = [Resolve { name: "1_a".into(), verdict: ResolveAs::Applied }];
        let (rows, count) = resolved(std::slice::from_ref(&failed), &applied, &source);
        assert_eq!(count, 1);
        assert_eq!(pending(&source, &rows), Vec::<usize>::new());
        assert_eq!(
            resolved(&rows, &applied, &source),
            (rows.clone(), 0),
            "carried out a second time it changes nothing"
        );
        let undone = [Resolve { name: "1_a".into(), verdict: ResolveAs::RolledBack }];
        assert_eq!(pending(&source, &resolved(&[failed], &undone, &source).0), [0]);
    }
}
