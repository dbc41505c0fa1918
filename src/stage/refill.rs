//! Applied migrations, made once more in an empty database. Shared by replay and rehearsal.

use sqlx::PgConnection;

use super::{
    Context,
    confined::{Stop, calls_nothing_beyond, commit_inside, confine},
    ground::{self, ReplayError},
};
use crate::{
    api::{Atomicity, Reason},
    migrations::{Group, Migration, Script, Statement, Step, hexadecimal, plan_groups},
    postgres::{Prerequisite, Session, Settings, SharedWrites, SqlError, SqlErrorKind, give, surroundings},
    sql::{self, Made, Reach},
};

/// Migrations in order, each split, without what would change the server. None for one that no migration may
/// be today: it was applied by another tool, and is replayed as Prisma sends it, as one string.
pub(super) struct Refill<'a>(Vec<(&'a Migration, Option<Script>)>);

impl<'a> Refill<'a> {
    pub(super) fn of(migrations: impl Iterator<Item = &'a Migration>) -> Result<Self, ReplayError> {
        migrations.map(|migration| Ok((migration, script(migration)?))).collect::<Result<_, _>>().map(Self)
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Eight characters that change with what is replayed.
    pub(super) fn digest(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        for (migration, _) in &self.0 {
            hash.update(migration.checksum.as_bytes());
        }
        hexadecimal(&hash.finalize()).chars().take(8).collect()
    }

    /// What the real database was given before, and the migrations do not make themselves. Default privileges
    /// that a migration sets were not there before it.
    pub(super) async fn prerequisites(
        &self,
        real: &mut PgConnection,
        schemas: &[String],
    ) -> Result<Vec<Prerequisite>, ReplayError> {
        let given = surroundings(real, schemas).await.map_err(ReplayError::query)?;
        let statements = self.0.iter().flat_map(|(migration, _)| {
            sql::split(&migration.sql).statements.into_iter().map(|range| &migration.sql[range])
        });
        let made: Vec<Made> = statements.flat_map(sql::made).collect();
        let is_made = |needed: &Prerequisite| match needed.kind.as_str() {
            "schema" => made.contains(&Made::Schema(needed.name.clone())),
            "extension" => made.contains(&Made::Extension(needed.name.clone())),
            _ => made.contains(&Made::DefaultPrivileges),
        };
        Ok(given.into_iter().filter(|needed| !is_made(needed)).collect())
    }

    /// Fills an empty database, and gives the session in which it did so.
    pub(super) async fn fill(
        &self,
        context: &Context,
        mut connection: PgConnection,
        prerequisites: &[Prerequisite],
    ) -> Result<Session, ReplayError> {
        give(&mut connection, prerequisites).await;
        let mut session = ground::session(context, connection).await?;
        for (migration, script) in &self.0 {
            let replayed = match script {
                Some(script) => replay(context, &mut session, migration, script).await,
                None => replay_whole(context, &mut session, migration).await,
            };
            replayed.map_err(|stop| match stop {
                Stop::Sql(error) => failed(migration, &error),
                Stop::Server(what) => changes_the_server(migration, &what),
            })?;
        }
        Ok(session)
    }
}

fn script(migration: &Migration) -> Result<Option<Script>, ReplayError> {
    let Ok(mut script) = migration.script().cloned() else {
        for range in sql::split(&migration.sql).statements {
            match sql::Statement::read(&migration.sql[range]).reach {
                Reach::Inside => {}
                Reach::Beyond => {
                    return Err(hidden(migration, "COPY, or a role, a database or a setting of the server"));
                }
                Reach::Hidden(change) => return Err(hidden(migration, change.words())),
            }
        }
        return Ok(None);
    };
    confine(&mut script).map_err(|change| hidden(migration, change.words()))?;
    Ok(Some(script))
}

fn hidden(migration: &Migration, words: &str) -> ReplayError {
    ReplayError::Unproven {
        reason: Reason::BaselineDiffers,
        object: migration.name.clone(),
        message: format!(
            "{} says {words:?} where it cannot be left out, and a replay must not change the server",
            migration.file
        ),
        remedy: "nothing can be compared while this migration is part of the history; roles and settings of \
            the server belong outside of migrations"
            .to_owned(),
    }
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
                // No table has rows here that would be worth a batch.
                Step::Backfill(at) | Step::Copy(at) => (at..at + 1, true),
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
