//! The ground on which migrations are tried: a scratch database beside the real one. It is dropped whatever
//! happens, and the server is left as it was.

use std::time::Duration;

use sqlx::PgConnection;

use super::Context;
use crate::{
    api::{Reason, Span},
    postgres::{
        ConnectionUrl, QueryError, Scratch, Session, cannot_create_databases, connect, connect_like,
        defaults_of_sessions,
    },
};

/// No other session is in a scratch database but the server's own housekeeping.
pub(super) const LOCK_TIMEOUT: Span = Span::from_secs(30);
/// What is left of a run is not all spent: the scratch database has to be dropped.
const RESERVE: Duration = Duration::from_secs(2);

/// Why nothing came of it.
#[derive(Debug)]
pub(super) enum ReplayError {
    /// The migrations or the role's rights do not allow it; trying again changes nothing.
    Unproven { reason: Reason, object: String, message: String, remedy: String },
    /// It did not work this time.
    Stopped { reason: Reason, message: String },
}

impl ReplayError {
    pub(super) fn stopped(reason: Reason, error: &dyn std::fmt::Display) -> Self {
        Self::Stopped { reason, message: error.to_string() }
    }

    /// The reason, and the words for people.
    pub(super) fn told(self) -> (Reason, String) {
        match self {
            Self::Unproven { reason, message, remedy, .. } => (reason, format!("{message}; {remedy}")),
            Self::Stopped { reason, message } => (reason, message),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
    pub(super) fn query(error: QueryError) -> Self {
        Self::stopped(error.reason(), &error)
    }
}

/// What a scratch database is for, in words for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// What happens in it: "the migrations are replayed".
    pub(super) now: &'static str,
    /// The same when it is over.
    pub(super) then: &'static str,
    /// What is not known without it.
    pub(super) without: &'static str,
}

/// Makes a scratch database on a server. `real` is a connection to the real one; `digest` is eight characters that
/// change with what is tried.
pub(super) async fn make(
    context: &Context,
    server: &ConnectionUrl,
    real: &mut PgConnection,
    (digest, purpose): (&str, Use),
) -> Result<Scratch, ReplayError> {
    let mut keeper = connect(server, &context.application())
        .await
        .map_err(|error| ReplayError::stopped(error.reason(), &error))?;
    if let Some(role) = cannot_create_databases(&mut keeper).await.map_err(ReplayError::query)? {
        return Err(no_right(role, purpose));
    }
    let of = format!(
        "Scratch database of the DatabaseMigration {}/{}",
        context.manifest.namespace, context.manifest.name
    );
    Scratch::create(keeper, real, (digest, &of)).await.map_err(ReplayError::query)
}

/// Does the work, which ends in time for the scratch database to be dropped.
pub(super) async fn in_time<T>(
    context: &Context,
    purpose: Use,
    work: impl Future<Output = Result<T, ReplayError>>,
) -> Result<T, ReplayError> {
    let ended = tokio::time::timeout(context.remaining().saturating_sub(RESERVE), work).await;
    ended.unwrap_or_else(|_| Err(late(context, purpose)))
}

/// Drops it. What cannot be dropped now, the next one removes.
pub(super) async fn drop(scratch: Scratch) {
    if let Err(error) = scratch.drop().await {
        tracing::warn!(%error, "the scratch database stays for now");
    }
}

/// The real database.
pub(super) fn url(context: &Context) -> Result<&ConnectionUrl, ReplayError> {
    context.url().map_err(|error| ReplayError::stopped(error.reason(), &error))
}

/// A connection to a scratch database that begins with what those to the real one begin with.
pub(super) async fn connect_to(
    context: &Context,
    url: &ConnectionUrl,
    real: &mut PgConnection,
) -> Result<PgConnection, ReplayError> {
    let defaults = defaults_of_sessions(real).await.map_err(ReplayError::query)?;
    let connection = connect_like(url, &context.application(), &defaults).await;
    connection.map_err(|error| ReplayError::stopped(error.reason(), &error))
}

/// A session in which migrations run.
pub(super) async fn session(context: &Context, connection: PgConnection) -> Result<Session, ReplayError> {
    Session::new(connection, LOCK_TIMEOUT, context.manifest.statement_timeout)
        .await
        .map_err(ReplayError::query)
}

fn late(context: &Context, purpose: Use) -> ReplayError {
    let message = format!(
        "the deadline of the run ({}) passed while {}: raise spec.apply.deadline",
        context.manifest.deadline, purpose.then
    );
    ReplayError::Stopped { reason: Reason::DeadlineExceeded, message }
}

fn no_right(role: String, purpose: Use) -> ReplayError {
    let quoted = role.replace('"', "\"\"");
    ReplayError::Unproven {
        reason: Reason::PrivilegesMissing,
        message: format!(
            "the role {role:?} may not create the scratch database in which {}, so Sluice cannot tell {}",
            purpose.now, purpose.without
        ),
        remedy: format!("let it, as a superuser: ALTER ROLE \"{quoted}\" CREATEDB"),
        object: role,
    }
}
