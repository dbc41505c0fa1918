//! A migration that an earlier attempt began step by step: how far it came, and whether the file still begins
//! with what ran.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::{
    api::{CheckId, Finding, Severity},
    migrations::{
        HistoryRow, Migration, RowState, Script, SourceTree, Statement, StatementKind, Step, checksum, steps,
    },
    postgres::{Journal, JournalStep, QueryError},
};

/// The steps of migrations that were begun and not finished, as the journal has them, by the names of the
/// migrations.
pub(super) type Journaled = BTreeMap<String, Vec<JournalStep>>;

/// Reads the journal of each row that can go on.
pub(super) async fn read(
    connection: &mut PgConnection,
    rows: &[HistoryRow],
) -> Result<Journaled, QueryError> {
    let mut journaled = Journaled::new();
    for row in rows.iter().filter(|row| row.state() == RowState::Resumable) {
        let known = Journal { row: row.id.clone() }.steps(&mut *connection).await?;
        journaled.insert(row.name.clone(), known);
    }
    Ok(journaled)
}

/// What tells each step from another text of it.
pub(super) fn digests(script: &Script, steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| checksum(&text(script, step))).collect()
}

/// The first finished step whose statements are no longer those that ran, counted from 0.
pub(super) fn edited(known: &[JournalStep], digests: &[String]) -> Option<i32> {
    let same = |step: &JournalStep| {
        usize::try_from(step.step).ok().and_then(|number| digests.get(number)) == Some(&step.digest)
    };
    known.iter().find(|step| step.done && !same(step)).map(|step| step.step)
}

/// Why it cannot go on.
pub(super) fn changed(name: &str, step: i32) -> String {
    format!(
        "{name:?} was edited in its step {}, which is already done: restore the statements that ran, and \
            change only what follows",
        step + 1
    )
}

/// How a migration of some steps goes on, for a sentence that begins with its name.
pub(super) fn goes_on(known: &[JournalStep], of: usize) -> String {
    match next(known, of) {
        Some(step) => format!("goes on at step {step} of {of}"),
        None => "has all its steps done, and Sluice completes its row".to_owned(),
    }
}

/// The first step that is not done, counted from 1.
fn next(known: &[JournalStep], of: usize) -> Option<usize> {
    (0..of)
        .find(|number| !known.iter().any(|step| step.done && usize::try_from(step.step) == Ok(*number)))
        .map(|number| number + 1)
}

/// One error for each migration that was begun and not finished. PURE.
pub(super) fn findings(source: &SourceTree, journaled: &Journaled) -> Vec<Finding> {
    journaled
        .iter()
        .map(|(name, known)| {
            let migration = source.migrations.iter().find(|migration| migration.name == *name);
            let (message, remedy) = half_done(name, migration, known);
            Finding {
                check: CheckId::FailedMigration,
                object: name.clone(),
                severity: Severity::Error,
                message,
                remedy,
            }
        })
        .collect()
}

fn half_done(name: &str, migration: Option<&Migration>, known: &[JournalStep]) -> (String, String) {
    let done = known.iter().filter(|step| step.done).count();
    let Some(migration) = migration else {
        let message = format!(
            "{name:?} was begun and not finished: {done} of its steps are done, and its file is no longer in \
                the source"
        );
        return (message, "restore its file, then let Sluice run: it goes on behind what is done".to_owned());
    };
    let Ok(script) = migration.script() else {
        let message = format!(
            "{name:?} was begun and not finished: {done} of its steps are done, and its file cannot be read \
                any more"
        );
        return (
            message,
            "restore its file as it was, then let Sluice run: it goes on behind what is done".to_owned(),
        );
    };
    let steps = steps(script);
    let verb = if done == 1 { "is" } else { "are" };
    let message =
        format!("{name:?} was begun and not finished: {done} of its {} steps {verb} done", steps.len());
    let remedy = match (edited(known, &digests(script, &steps)), next(known, steps.len())) {
        (Some(step), _) => format!(
            "its step {} was edited after it was done: restore the statements that ran, change only what \
                follows, then let Sluice run",
            step + 1
        ),
        (None, Some(step)) => format!(
            "let Sluice run: it goes on at step {step}{}; a step that fails is corrected in the file first",
            behind(known, step)
        ),
        (None, None) => "let Sluice run: it completes the row".to_owned(),
    };
    (message, remedy)
}

/// What is done of this step, counted from 1, where it runs in batches.
fn behind(known: &[JournalStep], step: usize) -> String {
    let found = known.iter().find(|known| usize::try_from(known.step).is_ok_and(|known| known + 1 == step));
    let batches = found.and_then(|step| step.batches.as_ref());
    batches
        .map(|done| format!(", behind {} batches that changed {} rows", done.count, done.changed))
        .unwrap_or_default()
}

fn text(script: &Script, step: &Step) -> String {
    match step {
        Step::Transactional(range) => {
            script.statements[range.clone()].iter().map(Statement::sql).collect::<Vec<_>>().join(";\n")
        }
        Step::Autocommit(at) => script.statements[*at].sql().to_owned(),
        // How far it came is told by a key: along another one it begins at the first row.
        Step::Backfill(at) => match &script.statements[*at].kind {
            StatementKind::Backfill(backfill) => {
                format!("{}\n{}", backfill.batches.key.join(","), script.statements[*at].sql())
            }
            _ => script.statements[*at].sql().to_owned(),
        },
        Step::Copy(at) => match &script.statements[*at].kind {
            StatementKind::Copy(copy) => {
                format!("{}\n{}", copy.batches.key.join(","), script.statements[*at].sql())
            }
            _ => script.statements[*at].sql().to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::BatchesDone;

    const TWO: &str = "CREATE INDEX CONCURRENTLY a ON t (a);\nCREATE INDEX CONCURRENTLY b ON t (b);\n";

    fn migration(sql: &str) -> Migration {
        Migration::new("1_two".into(), "1_two/migration.sql".into(), sql)
    }

    /// The first step of `TWO` is done.
    fn first_done() -> Vec<JournalStep> {
        let two = migration(TWO);
        let script = two.script().expect("reads");
        let digest = digests(script, &steps(script)).remove(0);
        let step = |step, digest: String, done| JournalStep {
            step,
            digest,
            done,
            settings: crate::postgres::Values::new(),
            batches: None,
        };
        vec![step(-1, two.checksum.clone(), false), step(0, digest, true)]
    }

    fn told(source: Option<&str>) -> (String, String) {
        let source =
            SourceTree { migrations: source.map(migration).into_iter().collect(), ..SourceTree::default() };
        let found = findings(&source, &Journaled::from([("1_two".to_owned(), first_done())])).remove(0);
        assert_eq!(
            (found.check, found.object.as_str(), found.severity),
            (CheckId::FailedMigration, "1_two", Severity::Error)
        );
        (found.message, found.remedy)
    }

    #[test]
    fn a_migration_that_stopped_half_way_is_named_with_the_step_at_which_it_goes_on() {
        let (message, remedy) = told(Some(TWO));
        assert!(message.ends_with("1 of its 2 steps is done"), "{message}");
        assert!(remedy.contains("goes on at step 2"), "{remedy}");
        assert_eq!(goes_on(&first_done(), 2), "goes on at step 2 of 2");
    }

    #[test]
    fn what_is_done_of_a_step_in_batches_is_told_in_numbers() {
        let mut known = first_done();
        known[1].batches = Some(BatchesDone {
            key: vec!["Jane".to_owned()],
            count: 3,
            passed: 300,
            changed: 120,
            swapped: None,
        });
        assert_eq!(behind(&known, 1), ", behind 3 batches that changed 120 rows");
        assert_eq!(behind(&known, 2), "");
    }

    #[test]
    fn an_edit_of_a_step_that_is_done_and_a_file_that_is_gone_are_told() {
        let (_, remedy) = told(Some(&TWO.replace("INDEX CONCURRENTLY a", "INDEX CONCURRENTLY other")));
        assert!(remedy.contains("step 1 was edited"), "{remedy}");
        let (_, same) = told(Some(&TWO.replace("INDEX CONCURRENTLY b", "INDEX CONCURRENTLY other")));
        assert!(same.contains("goes on at step 2"), "what is not done may change: {same}");
        assert!(told(None).0.contains("no longer in the source"));
    }
}
