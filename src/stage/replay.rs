//! What the migrations make: they are replayed in a scratch database, and the result is compared with the
//! real one. Shared by drift and baseline. The server is left as it was, whatever happens.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::Context;
use crate::{
    api::{Atomicity, Reason, Span},
    catalog::{self, Difference, Key, Kind},
    migrations::{Group, Migration, Script, SourceTree, Statement, Step, hexadecimal, plan_groups},
    postgres::{
        Prerequisite, QueryError, Scratch, Session, Settings, SharedWrites, SqlError, SqlErrorKind, bodies,
        cannot_create_databases, connect, connect_like, counts_writes, defaults_of_sessions, give,
        surroundings, unused_extensions,
    },
    sql::{self, Made, Reach},
};

/// No other session is in a scratch database but the server's own housekeeping.
const LOCK_TIMEOUT: Span = Span::from_secs(30);
/// What is left of a run is not all spent: the scratch database has to be dropped.
const RESERVE: Duration = Duration::from_secs(2);

/// Why nothing can be said about equality.
#[derive(Debug)]
pub(super) enum ReplayError {
    /// The migrations or the role's rights do not allow it; trying again changes nothing.
    Unproven { reason: Reason, object: String, message: String, remedy: String },
    /// It did not work this time.
    Stopped { reason: Reason, message: String },
}

impl ReplayError {
    fn stopped(reason: Reason, error: &dyn std::fmt::Display) -> Self {
        Self::Stopped { reason, message: error.to_string() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
    fn query(error: QueryError) -> Self {
        Self::stopped(error.reason(), &error)
    }
}

/// What is compared.
pub(super) struct Comparison<'a> {
    pub(super) source: &'a SourceTree,
    /// Indexes into the source: what is replayed, in order.
    pub(super) members: &'a [usize],
    pub(super) schemas: &'a [String],
    /// Names that may differ.
    pub(super) ignore: &'a [String],
}

impl Comparison<'_> {
    fn migrations(&self) -> impl Iterator<Item = &Migration> {
        self.members.iter().map(|at| &self.source.migrations[*at])
    }

    /// The newest migration that is replayed, that of no phase where there is one.
    pub(super) fn newest(&self) -> &str {
        let own = self.migrations().filter(|migration| migration.phase().is_none()).last();
        own.or_else(|| self.migrations().last()).map_or("nothing", |migration| &migration.name)
    }
}

/// How the real database differs from what the migrations make. `connection` is on the real one, outside a
/// transaction.
pub(super) async fn differences(
    context: &Context,
    connection: &mut PgConnection,
    comparison: &Comparison<'_>,
) -> Result<Vec<Difference>, ReplayError> {
    if let Some(role) = cannot_create_databases(connection).await.map_err(ReplayError::query)? {
        return Err(no_right(role));
    }
    let scripts = scripts(comparison)?;
    let prerequisites =
        desired(surroundings(connection, comparison.schemas).await.map_err(ReplayError::query)?, comparison);
    let url = context.url().map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    let keeper = connect(url, &context.application())
        .await
        .map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    let purpose = format!(
        "Scratch database of the DatabaseMigration {}/{}",
        context.manifest.namespace, context.manifest.name
    );
    let scratch = Scratch::create(keeper, &digest(comparison), &purpose).await.map_err(ReplayError::query)?;
    let work = compare_made(context, &scratch, connection, comparison, &scripts, &prerequisites);
    let made = tokio::time::timeout(context.remaining().saturating_sub(RESERVE), work).await;
    let dropped = scratch.drop().await;
    let found = made.map_err(|_| late(context))?;
    if let Err(error) = dropped {
        // The next one removes it.
        tracing::warn!(%error, "the scratch database stays for now");
    }
    found
}

fn late(context: &Context) -> ReplayError {
    let message = format!(
        "the deadline of the run ({}) passed while the migrations were replayed: raise spec.apply.deadline",
        context.manifest.deadline
    );
    ReplayError::Stopped { reason: Reason::DeadlineExceeded, message }
}

fn no_right(role: String) -> ReplayError {
    let quoted = role.replace('"', "\"\"");
    ReplayError::Unproven {
        reason: Reason::PrivilegesMissing,
        message: format!(
            "the role {role:?} may not create the scratch database in which the migrations are replayed, so \
                Sluice cannot tell whether the schema is what they make"
        ),
        remedy: format!("let it, as a superuser: ALTER ROLE \"{quoted}\" CREATEDB"),
        object: role,
    }
}

fn scope(context: &Context, comparison: &Comparison<'_>) -> catalog::Scope {
    catalog::Scope { schemas: comparison.schemas.to_vec(), history_table: context.history_table().contract }
}

/// Eight characters that change with what is replayed.
fn digest(comparison: &Comparison<'_>) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    for migration in comparison.migrations() {
        hash.update(migration.checksum.as_bytes());
    }
    hexadecimal(&hash.finalize()).chars().take(8).collect()
}

/// What the migrations do not make themselves. Default privileges that a migration sets were not there before
/// it.
fn desired(prerequisites: Vec<Prerequisite>, comparison: &Comparison<'_>) -> Vec<Prerequisite> {
    let statements = comparison.migrations().flat_map(|migration| {
        sql::split(&migration.sql).statements.into_iter().map(|range| &migration.sql[range])
    });
    let made: Vec<Made> = statements.flat_map(sql::made).collect();
    let is_made = |needed: &Prerequisite| match needed.kind.as_str() {
        "schema" => made.contains(&Made::Schema(needed.name.clone())),
        "extension" => made.contains(&Made::Extension(needed.name.clone())),
        _ => made.contains(&Made::DefaultPrivileges),
    };
    prerequisites.into_iter().filter(|needed| !is_made(needed)).collect()
}

/// The files, split, without what would change the server. None for one that no migration may be today: it
/// was applied by another tool, and is replayed as Prisma sends it, as one string.
fn scripts(comparison: &Comparison<'_>) -> Result<Vec<Option<Script>>, ReplayError> {
    let hidden = |migration: &Migration, words: &str| ReplayError::Unproven {
        reason: Reason::BaselineDiffers,
        object: migration.name.clone(),
        message: format!(
            "{} says {words:?} where it cannot be left out, and a replay must not change the \
            server",
            migration.file
        ),
        remedy: "nothing can be compared while this migration is part of the history; roles and settings of \
            the server belong outside of migrations"
            .to_owned(),
    };
    let mut scripts = Vec::new();
    for migration in comparison.migrations() {
        let Ok(mut script) = migration.script().cloned() else {
            for range in sql::split(&migration.sql).statements {
                match sql::Statement::read(&migration.sql[range]).reach {
                    Reach::Inside => {}
                    Reach::Beyond => {
                        return Err(hidden(
                            migration,
                            "COPY, or a role, a database or a setting of the server",
                        ));
                    }
                    Reach::Hidden(change) => return Err(hidden(migration, change.words())),
                }
            }
            scripts.push(None);
            continue;
        };
        for statement in &script.statements {
            if let Reach::Hidden(change) = statement.reach {
                return Err(hidden(migration, change.words()));
            }
        }
        script.statements.retain(|statement| statement.reach == Reach::Inside);
        scripts.push(Some(script));
    }
    Ok(scripts)
}

/// Fills the scratch database, reads it and the real one at the same time, and compares.
async fn compare_made(
    context: &Context,
    scratch: &Scratch,
    real: &mut PgConnection,
    comparison: &Comparison<'_>,
    scripts: &[Option<Script>],
    prerequisites: &[Prerequisite],
) -> Result<Vec<Difference>, ReplayError> {
    let begun = Instant::now();
    let url = scratch.url(context.url().map_err(|error| ReplayError::stopped(error.reason(), &error))?);
    let defaults = defaults_of_sessions(real).await.map_err(ReplayError::query)?;
    let connection = connect_like(&url, &context.application(), &defaults).await;
    let mut connection = connection.map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    give(&mut connection, prerequisites).await;
    let mut session = Session::new(connection, LOCK_TIMEOUT, context.manifest.statement_timeout)
        .await
        .map_err(ReplayError::query)?;
    for (migration, script) in comparison.migrations().zip(scripts) {
        let replayed = match script {
            Some(script) => replay(context, &mut session, migration, script).await,
            None => replay_whole(context, &mut session, migration).await,
        };
        replayed.map_err(|stop| match stop {
            Stop::Sql(error) => failed(migration, &error),
            Stop::Server(what) => changes_the_server(migration, &what),
        })?;
    }
    tracing::info!(
        migrations = scripts.len(),
        milliseconds = begun.elapsed().as_millis(),
        "replayed the migrations in a scratch database"
    );
    let begun = Instant::now();
    let scope = scope(context, comparison);
    let (expected, actual) = futures::join!(
        catalog::read(session.trusted().await.map_err(ReplayError::query)?, &scope),
        catalog::read(real, &scope)
    );
    let (mut expected, actual) = (expected.map_err(ReplayError::query)?, actual.map_err(ReplayError::query)?);
    let extensions: Vec<String> = prerequisites
        .iter()
        .filter(|needed| needed.kind == "extension")
        .map(|needed| needed.name.clone())
        .collect();
    for name in unused_extensions(session.trusted().await.map_err(ReplayError::query)?, &extensions)
        .await
        .map_err(ReplayError::query)?
    {
        expected.objects.remove(&Key { kind: Kind::Extension, name });
    }
    session.close().await;
    let found = catalog::compare(&expected, &actual, comparison.ignore);
    tracing::info!(
        objects = expected.objects.len(),
        milliseconds = begun.elapsed().as_millis(),
        "compared the schema with what they make"
    );
    Ok(found)
}

fn failed(migration: &Migration, error: &SqlError) -> ReplayError {
    let message = format!(
        "{:?} cannot be replayed in an empty database: {} (SQLSTATE {})",
        migration.name, error.message, error.sqlstate
    );
    match error.kind {
        SqlErrorKind::Connection => ReplayError::Stopped { reason: Reason::ConnectionFailed, message },
        SqlErrorKind::Deadline | SqlErrorKind::Overrun => {
            ReplayError::Stopped { reason: Reason::DeadlineExceeded, message }
        }
        SqlErrorKind::Lock => ReplayError::Stopped { reason: Reason::WaitingForLock, message },
        SqlErrorKind::Statement | SqlErrorKind::Held | SqlErrorKind::Escaped => ReplayError::Unproven {
            reason: Reason::BaselineDiffers,
            object: migration.name.clone(),
            message,
            remedy: "if it needs something that was there before the first migration, an extension for \
                instance, let a migration create it (IF NOT EXISTS)"
                .to_owned(),
        },
    }
}

/// Why a file was not replayed.
enum Stop {
    Sql(SqlError),
    /// It would have changed the server: this catalog, or by these words.
    Server(String),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Self {
        Self::Sql(error.into())
    }
}

fn changes_the_server(migration: &Migration, what: &str) -> ReplayError {
    ReplayError::Unproven {
        reason: Reason::BaselineDiffers,
        object: migration.name.clone(),
        message: format!(
            "a replay of {} would change more than a scratch database ({what}), and was rolled \
            back; so Sluice cannot tell whether the schema is what the migrations make",
            migration.file
        ),
        remedy: "nothing can be compared while this migration is part of the history; roles and settings of \
            the server belong outside of migrations"
            .to_owned(),
    }
}

/// One file, as the migrate stage runs it, without a history.
async fn replay(
    context: &Context,
    session: &mut Session,
    migration: &Migration,
    script: &Script,
) -> Result<(), Stop> {
    let mut settings = Settings::of_file(&migration.sql);
    for group in plan_groups(std::slice::from_ref(script), Atomicity::Migration, u32::MAX) {
        let steps = match group {
            Group::Transaction(_) => vec![Step::Transactional(0..script.statements.len())],
            Group::Stepwise { steps, .. } => steps,
        };
        let carries = steps.len() > 1;
        for step in steps {
            let (range, in_transaction) = match step {
                Step::Transactional(range) => (range, true),
                Step::Autocommit(at) => (at..at + 1, false),
            };
            let text =
                script.statements[range.clone()].iter().map(Statement::sql).collect::<Vec<_>>().join(";\n");
            // No session queues behind it here, and a short limit would only cut it off.
            let before = if in_transaction {
                session.begin().await?;
                SharedWrites::so_far(session.trusted().await?).await?
            } else {
                if script.statements[range.clone()].iter().any(|statement| statement.verb.may_call()) {
                    calls_nothing_beyond(session, &text).await?;
                }
                session.limit_alone(true).await?;
                SharedWrites::default()
            };
            session.hand_over().await?;
            if carries {
                session.restore(&mut settings, in_transaction).await?;
            }
            session.run(&text, Some(context.until)).await?;
            if carries {
                let carried = settings.carried().clone();
                session.note(&mut settings).await?;
                settings.end_local(carried, &script.local_settings(range));
            }
            if in_transaction {
                commit_inside(session, &before).await?;
            }
            session.reset().await?;
        }
    }
    Ok(())
}

/// Commits what stays in the scratch database, and nothing else.
async fn commit_inside(session: &mut Session, before: &SharedWrites) -> Result<(), Stop> {
    session.check_deferred(Instant::now() + LOCK_TIMEOUT.duration()).await?;
    let connection = session.trusted().await?;
    let written = SharedWrites::so_far(connection).await?;
    let counted = counts_writes(connection).await?;
    let beyond =
        if counted { written.since(before) } else { Some("track_counts is off, so it cannot be seen") };
    if let Some(what) = beyond {
        let what = what.to_owned();
        session.rollback().await;
        return Err(Stop::Server(what));
    }
    Ok(session.commit().await?)
}

/// Outside a transaction nothing can be taken back: what may call a routine runs only where neither it nor a
/// routine speaks of the server.
async fn calls_nothing_beyond(session: &mut Session, text: &str) -> Result<(), Stop> {
    let bodies = bodies(session.trusted().await?).await?;
    let found = bodies.iter().map(String::as_str).chain([text]).find_map(|body| match Reach::of_body(body) {
        Reach::Hidden(change) => Some(change.words()),
        Reach::Inside | Reach::Beyond => None,
    });
    found.map_or(Ok(()), |words| {
        Err(Stop::Server(format!(
            "{words:?} stands in it or in a routine that it may call outside a transaction"
        )))
    })
}

/// One file as Prisma sends it. What it leaves open is taken back, as it is when Prisma goes.
async fn replay_whole(context: &Context, session: &mut Session, migration: &Migration) -> Result<(), Stop> {
    if migration.sql.contains('\0') {
        return Err(SqlError::other(
            SqlErrorKind::Statement,
            "it contains a NUL byte, which no server takes".to_owned(),
        )
        .into());
    }
    calls_nothing_beyond(session, &migration.sql).await?;
    session.hand_over().await?;
    session.limit_alone(true).await?;
    session.run(&migration.sql, Some(context.until)).await?;
    session.rollback().await;
    Ok(session.reset().await?)
}
