//! A release: its groups in order, each one transaction with its history rows, the last one with the
//! verification.

use std::time::Instant;

use super::{
    attempt::{Attempt, Release, Verification, escaped, failure, rows_before, verification},
    blocked, custody,
    error::{MigrateError, unfenced},
    held, overrun, statements, stepwise,
};
use crate::{
    api::Reason,
    contract::{Outcome, Stage},
    inspect::{Aspect, RowsBefore},
    migrations::{Group, Migration, Script, last_transaction, plan_groups},
    postgres::{QueryError, Session, SqlError, SqlErrorKind, Watcher, keep_text, prepare_texts},
};

/// How a release ended.
pub(super) enum Ended {
    /// With these migrations applied.
    Applied(Vec<String>),
    /// With this; groups that were committed before stay.
    Failed(Box<Outcome>),
}

pub(super) async fn apply(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
) -> Result<Ended, MigrateError> {
    let groups = plan_groups(release.scripts, release.context.manifest.atomicity, release.lock_budget);
    let judged = judged(&groups);
    let mut applied = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let members = match group {
            Group::Transaction(members) => members.clone(),
            Group::Stepwise { migration, .. } => vec![*migration],
        };
        if let Some(ended) = over(release, members[0]) {
            return Ok(ended);
        }
        let judged = judged.filter(|(group, ..)| *group == number).map(|(_, step, aspects)| (step, aspects));
        let mut waits_until = None;
        loop {
            let attempt = match group {
                Group::Transaction(members) => {
                    transaction(
                        session,
                        watcher,
                        release,
                        members,
                        judged.map_or(&[], |(_, aspects)| aspects),
                    )
                    .await?
                }
                Group::Stepwise { migration, steps } => {
                    stepwise::run(session, watcher, release, *migration, steps, judged).await?
                }
            };
            match attempt {
                Attempt::Committed => break,
                Attempt::Failed(outcome) => return Ok(Ended::Failed(outcome)),
                Attempt::Locked if !session.fenced => {
                    return Err(unfenced(&release.migration(members[0]).name));
                }
                Attempt::Locked => {
                    // From the first time that this group had to wait: what ran before it took as long as it
                    // took.
                    let until = *waits_until.get_or_insert_with(|| {
                        (Instant::now() + release.patience).min(release.context.until)
                    });
                    blocked::wait(watcher, release.migration(members[0]), until).await?;
                }
            }
        }
        applied.extend(members.into_iter().map(|at| release.migration(at).name.clone()));
    }
    Ok(Ended::Applied(applied))
}

/// Nothing begins after the end of the run.
fn over(release: &Release<'_>, next: usize) -> Option<Ended> {
    let (passed, next) = (overrun::passed(release.context)?, &release.migration(next).name);
    let message = format!("{passed} before {next:?} began; what was committed before stays");
    Some(Ended::Failed(Box::new(Outcome::failed(Stage::Migrate, Reason::DeadlineExceeded, message))))
}

/// In which group, and after which step of it, what is verified before COMMIT. Only the end of a release
/// counts, so the last transaction carries it. When statements that run alone still follow, which is mostly
/// index builds, indexes are left to the verify stage.
fn judged(groups: &[Group]) -> Option<(usize, usize, &'static [Aspect])> {
    let (group, step) = last_transaction(groups)?;
    let is_last_step = match &groups[group] {
        Group::Transaction(_) => true,
        Group::Stepwise { steps, .. } => step + 1 == steps.len(),
    };
    let aspects: &[Aspect] = if group + 1 == groups.len() && is_last_step {
        &[Aspect::Isolation, Aspect::Index, Aspect::Structure]
    } else {
        &[Aspect::Isolation]
    };
    Some((group, step, aspects))
}

/// One attempt at one transaction: statements, history rows, verification, COMMIT.
async fn transaction(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    members: &[usize],
    aspects: &[Aspect],
) -> Result<Attempt, MigrateError> {
    if let Err(error) =
        custody::begin(session, release.history_table, release.scripts[members[0]].isolation()).await?
    {
        return Ok(give_up(session, watcher, error, release, members[0]).await);
    }
    if !release.is_recorded_before(members)
        && let Err(error) = create_history_table(session, release, members).await
    {
        return give_up_query(session, error).await;
    }
    let keeps_texts = match release.keeps_texts.get() {
        Some(keeps) => *keeps,
        None => match prepare(session).await {
            Ok(keeps) => keeps,
            Err(error) => return give_up_query(session, error).await,
        },
    };
    let before = match rows_before(session, release).await {
        Ok(before) => before,
        Err(error) => return Ok(give_up(session, watcher, error, release, members[0]).await),
    };
    watcher.begin().await;
    let mut written = Vec::new();
    for at in members {
        let (migration, script) = (release.migration(*at), &release.scripts[*at]);
        release.tell(*at);
        match file(session, watcher, release, (migration, script), keeps_texts).await {
            Ok(id) => written.push((id, migration)),
            Err(error) => return Ok(give_up(session, watcher, error, release, *at).await),
        }
        tracing::info!(migration = %migration.name, "ran");
    }
    if let Some(attempt) = objection(session, watcher, release, members, &written, (aspects, before)).await? {
        return Ok(attempt);
    }
    let sealed = held::seal(watcher).await;
    let ended = match sealed {
        Ok(()) => session.commit().await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => {
            release.keeps_texts.get_or_init(|| keeps_texts);
            Ok(Attempt::Committed)
        }
        Err(error) => Ok(give_up(session, watcher, error, release, members[members.len() - 1]).await),
    }
}

/// Why these are not committed, which are then rolled back: a check fails, or the history has not kept their
/// rows.
async fn objection(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    members: &[usize],
    written: &[(String, &Migration)],
    (aspects, before): (&[Aspect], Option<RowsBefore>),
) -> Result<Option<Attempt>, MigrateError> {
    let last = members[members.len() - 1];
    let left = match members {
        [only] => format!("{:?} was rolled back", release.migration(*only).name),
        [first, ..] => format!(
            "{:?} … {:?} were rolled back",
            release.migration(*first).name,
            release.migration(last).name
        ),
        [] => String::new(),
    };
    let judgement = verification(session, watcher, release, aspects, before, &left).await?;
    if !matches!(judgement, Verification::Passed) {
        session.rollback().await;
    }
    match judgement {
        Verification::Failed(outcome) => return Ok(Some(Attempt::Failed(outcome))),
        Verification::Locked(_) => return Ok(Some(Attempt::Locked)),
        Verification::Held(error) => return Ok(Some(give_up(session, watcher, error, release, last).await)),
        Verification::Passed => {}
    }
    match session.select(&release.history_table.lost_rows(written), release.context.until).await {
        Ok(lost) if lost.is_empty() => Ok(None),
        Ok(lost) => {
            session.rollback().await;
            Ok(Some(Attempt::Failed(Box::new(not_kept(written, &lost, &left)))))
        }
        Err(error) => Ok(Some(give_up(session, watcher, error, release, last).await)),
    }
}

/// Rows that are not in the history although they were written to it.
fn not_kept(written: &[(String, &Migration)], lost: &[String], left: &str) -> Outcome {
    let names: Vec<String> = lost
        .iter()
        .map(|number| number.parse::<usize>().ok().and_then(|number| written.get(number)))
        .map(|row| {
            row.map_or_else(|| "another row".to_owned(), |(_, migration)| format!("{:?}", migration.name))
        })
        .collect();
    let message = format!(
        "the history did not keep what was written to it about {}: a trigger, a rule or a policy of its \
            table took it away or changed it, so {left}; \
         take that out of the migrations or the database",
        names.join(", ")
    );
    Outcome::failed(Stage::Migrate, Reason::HistoryUntrusted, message)
}

async fn prepare(session: &mut Session) -> Result<bool, QueryError> {
    prepare_texts(session.trusted().await?).await
}

async fn create_history_table(
    session: &mut Session,
    release: &Release<'_>,
    members: &[usize],
) -> Result<(), QueryError> {
    release
        .history_table
        .create(session.trusted().await?, members.iter().map(|at| release.migration(*at)))
        .await
}

/// The statements of one file, its deferred constraints, its settings put back, and its row in the history,
/// whose id it answers.
async fn file(
    session: &mut Session,
    watcher: &Watcher,
    release: &Release<'_>,
    (migration, script): (&Migration, &Script),
    keeps_text: bool,
) -> Result<String, SqlError> {
    let (until, started) = (release.context.until, jiff::Timestamp::now());
    if !script.statements.is_empty() {
        session.hand_over().await?;
        let all = 0..script.statements.len();
        statements::run(session, watcher, release, (migration, script), all).await?;
    }
    let id = uuid::Uuid::new_v4().to_string();
    let mut record = release.history_table.applied_row(&id, migration, started);
    if let Some(text) = keep_text(migration).filter(|_| keeps_text) {
        record = format!("{record}; {text}");
    }
    let ended = session.end_file(release.defers, &record, until).await;
    ended.map_err(|error| SqlError {
        completed: script.statements.len() + usize::from(error.completed > 0),
        ..error
    })?;
    Ok(id)
}

async fn give_up(
    session: &mut Session,
    watcher: &Watcher,
    error: SqlError,
    release: &Release<'_>,
    at: usize,
) -> Attempt {
    let error = &held::cause(session, watcher, error).await;
    let rolled_back = session.rollback().await;
    match error.kind {
        _ if !rolled_back => escaped(session, release, error, at).await,
        SqlErrorKind::Escaped => escaped(session, release, error, at).await,
        SqlErrorKind::Lock => Attempt::Locked,
        _ => Attempt::Failed(Box::new(failure(
            error,
            release.migration(at),
            &release.scripts[at],
            "its transaction was rolled back and nothing of it is left",
        ))),
    }
}

/// The history could not be written: another session holds a lock on it, or it is out of reach.
async fn give_up_query(session: &mut Session, error: QueryError) -> Result<Attempt, MigrateError> {
    session.rollback().await;
    if SqlErrorKind::of(&error.cause) == SqlErrorKind::Lock {
        Ok(Attempt::Locked)
    } else {
        Err(MigrateError::Query(error))
    }
}
