//! A statement that runs in batches: before the first, what would make them end with other rows than the
//! statement as a whole; then batch after batch, each committed, at the pace that the directive and the
//! replicas allow.
//!
//! A backfill that died goes on behind its last batch. One that waits for a lock keeps what it has done, and
//! tries the same rows again.

use std::time::Instant;

use super::{
    batch::{self, Along, over, refused},
    blocked,
    custody::{begin, exposed, in_transaction},
    error::{MigrateError, unfenced},
    held,
    pace::Pace,
    replicas::Throttle,
    step::{Ended, Stop, Work, as_the_file},
};
use crate::{
    api::Reason,
    contract::Rows,
    migrations::{Backfill, StatementKind},
    postgres::{
        BatchesDone, Session, Settings, SqlError, SqlErrorKind, TableKey, Watcher, aggregates, policies,
        written,
    },
};

/// Runs the batches that are not done yet.
pub(super) async fn run(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    settings: &Settings,
    at: usize,
) -> Ended {
    let StatementKind::Backfill(backfill) = &work.script.statements[at].kind else {
        return Err(MigrateError::stopped(Reason::InternalError, &"a step in batches has no backfill"));
    };
    work.release.context.progress.statement(Some((at, work.script.statements.len())));
    let survey = match survey(session, work, settings, at, backfill).await? {
        Ok(survey) => survey,
        Err(stop) => return Ok(Err(stop)),
    };
    let mut done = work.batches.clone();
    if let Some(bound) = survey.bound {
        let exposed = exposed(session, work.release.history_table).await?;
        let along = Along { at, backfill, key: survey.key, bound, exposed };
        if let Err(stop) = batches(session, watcher, work, settings, &along, &mut done).await? {
            return Ok(Err(stop));
        }
    }
    in_transaction(session, work.release.history_table, async |session| {
        work.journal.record(session.trusted().await?, work.number(), work.digest, settings.carried()).await
    })
    .await?;
    let done = done.unwrap_or_default();
    tracing::info!(migration = %work.migration.name, batches = done.count, rows = done.changed, "backfill \
        done");
    analyze(session, watcher, work, &survey.changes).await;
    Ok(Ok(()))
}

/// What is known before the first batch.
struct Survey {
    key: TableKey,
    /// The last key; none where the table is empty.
    bound: Option<Vec<String>>,
    /// The table that is changed, as its name is written.
    changes: String,
}

/// The tables as the file means them, and the role that it works as.
struct Meant {
    table: i64,
    changes: i64,
    /// From which policies hide rows of the table.
    hidden_from: Option<String>,
}

/// Finds table, key and bound, and whatever would make batches end with other rows than one statement.
async fn survey(
    session: &mut Session,
    work: &Work<'_>,
    settings: &Settings,
    at: usize,
    backfill: &Backfill,
) -> Result<Result<Survey, Stop>, MigrateError> {
    if let Err(error) = begin(session, work.release.history_table, None).await? {
        return Ok(Err(Stop::Sql(SqlError { completed: at, offset: None, ..error })));
    }
    let meant = meant(session, settings, backfill).await;
    session.rollback().await;
    let found = match meant {
        Ok(meant) => known(session, work, at, backfill, &meant).await,
        Err(error) => Err(error),
    };
    Ok(found.unwrap_or_else(|error| Err(Stop::Sql(SqlError { completed: at, offset: None, ..error }))))
}

/// In a transaction that is rolled back, under what the file has set.
async fn meant(session: &mut Session, settings: &Settings, backfill: &Backfill) -> Result<Meant, SqlError> {
    as_the_file(session, settings).await?;
    let find = async |session: &mut Session, name: String| {
        let found = session.resolve(&name).await?;
        found.ok_or_else(|| SqlError::other(SqlErrorKind::Statement, format!("there is no table {name}")))
    };
    let table = find(session, backfill.ranged.table.quoted()).await?;
    let changes = find(session, backfill.ranged.changes.quoted()).await?;
    Ok(Meant { table, changes, hidden_from: session.role_without_all_rows(table).await? })
}

async fn known(
    session: &mut Session,
    work: &Work<'_>,
    at: usize,
    backfill: &Backfill,
    meant: &Meant,
) -> Result<Result<Survey, Stop>, SqlError> {
    // The keys are read as the migration role, whatever role the file works as.
    session.trusted().await?;
    let own = session.role_without_all_rows(meant.table).await?;
    let hidden_from = meant.hidden_from.clone().or(own);
    let connection = session.trusted().await?;
    if let Some(role) = hidden_from {
        let policies = policies(&mut *connection, meant.table).await?;
        let table = written(connection, meant.table).await?;
        let message = rows_invisible(&table, &role, &policies);
        return Ok(Err(Stop::Refused(Box::new(refused(work, at, Reason::RowsInvisible, message)))));
    }
    let all = aggregates(&mut *connection, &backfill.ranged.calls).await?;
    if !all.is_empty() {
        let message = format!(
            "the statement calls {}, which is about all rows and would be about those of each batch: move it \
                into a subquery, or run the statement whole",
            all.join(", ")
        );
        return Err(SqlError::other(SqlErrorKind::Statement, message));
    }
    let key = TableKey::find(&mut *connection, meant.table, &backfill.batches.key).await?;
    let key = key.map_err(|problem| SqlError::other(SqlErrorKind::Statement, problem))?;
    let bound = key.last(&mut *connection).await?;
    Ok(Ok(Survey { key, bound, changes: written(connection, meant.changes).await? }))
}

/// What is said where policies hide rows. PURE.
pub(super) fn rows_invisible(table: &str, role: &str, policies: &[String]) -> String {
    let named: Vec<String> = policies.iter().map(|policy| format!("{policy:?}")).collect();
    let policies = if named.is_empty() {
        "it has no policy, which hides every row".to_owned()
    } else {
        format!("its policies: {}", named.join(", "))
    };
    format!(
        "row-level security of {table} applies to the role {role} ({policies}), so the statement would leave \
            rows as they are and look complete: let a role with BYPASSRLS run it, or the owner of {table} \
            while FORCE ROW LEVEL SECURITY is off"
    )
}

/// Batch after batch, up to the bound.
async fn batches(
    session: &mut Session,
    watcher: &Watcher,
    work: &Work<'_>,
    settings: &Settings,
    along: &Along<'_>,
    done: &mut Option<BatchesDone>,
) -> Ended {
    let batches = &along.backfill.batches;
    let (mut pace, mut throttle) = (Pace::of(batches.batch), Throttle::of(work, batches));
    let mut waits_until = None;
    work.release.context.progress.rows(rows(along, done.as_ref(), &pace));
    while done.as_ref().is_none_or(|done| done.key != along.bound) {
        if let Some(stop) = over(work, along.at) {
            return Ok(Err(stop));
        }
        let so_far = rows(along, done.as_ref(), &pace);
        let waits = || work.release.context.progress.rows(Rows { waits_for_replica: true, ..so_far });
        if let Err(stop) = throttle.wait(session, work, along.at, waits).await? {
            return Ok(Err(stop));
        }
        let began = Instant::now();
        match batch::run(session, watcher, work, settings, along, (done.as_ref(), pace.rows)).await? {
            Ok(next) => {
                pace.took(began.elapsed());
                (*done, waits_until) = (Some(next), None);
                work.release.context.progress.rows(rows(along, done.as_ref(), &pace));
                let left = work.until().saturating_duration_since(Instant::now());
                tokio::time::sleep(batches.pause.duration().min(left)).await;
            }
            // Before the first batch nothing is lost by an attempt from the beginning.
            Err(Stop::Sql(error)) if error.kind == SqlErrorKind::Lock && done.is_some() => {
                if !session.fenced {
                    return Err(unfenced(&work.migration.name));
                }
                pace.yields();
                let patience = (Instant::now() + work.release.patience).min(work.until());
                blocked::wait(watcher, work.migration, *waits_until.get_or_insert(patience)).await?;
            }
            Err(stop) => return Ok(Err(stop)),
        }
    }
    Ok(Ok(()))
}

fn rows(along: &Along<'_>, done: Option<&BatchesDone>, pace: &Pace) -> Rows {
    Rows {
        done: done.map_or(0, |done| done.passed),
        of: along.key.rows,
        per_second: pace.per_second(),
        waits_for_replica: false,
    }
}

/// Tells the planner what the rows are now. Nothing depends on it: where it fails, autovacuum does it later.
pub(super) async fn analyze(session: &mut Session, watcher: &Watcher, work: &Work<'_>, table: &str) {
    let ran = async {
        session.limit_alone(false).await?;
        session.run(&format!("ANALYZE {table}"), Some(work.until())).await
    };
    if let Err(error) = ran.await {
        let error = held::cause(session, watcher, error).await;
        tracing::warn!(migration = %work.migration.name, message = %error.message, "ANALYZE failed; \
            autovacuum does it later");
    }
    if let Err(error) = session.reset().await {
        tracing::warn!(migration = %work.migration.name, message = %error.message, "the session could not \
            be reset");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_policies_hide_are_told_with_table_role_policies_and_remedy() {
        let told = rows_invisible("clinic.visits", "migrator", &["by_tenant".to_owned()]);
        assert!(
            told.starts_with(
                "row-level security of clinic.visits applies to the role migrator (its policies: \
                 \"by_tenant\")"
            ),
            "{told}"
        );
        assert!(told.contains("BYPASSRLS"), "{told}");
        assert!(rows_invisible("t", "r", &[]).contains("hides every row"));
    }
}
