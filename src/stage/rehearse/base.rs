//! What a release is tried on: the applied migrations replayed, which is an empty schema, or a snapshot
//! restored, which is a copy of the rows, too.

use std::{path::PathBuf, time::Instant};

use sqlx::PgConnection;

use super::{
    super::{
        Context,
        ground::{self, ReplayError},
        refill::Refill,
        restored, snapshot,
    },
    result::milliseconds,
};
use crate::{
    api::Reason,
    contract::{HistorySummary, Outcome, Verdict},
    migrations::{Migration, SourceTree},
    postgres::{ConnectionUrl, Prerequisite, Session},
};

/// What a release is tried on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The applied migrations, replayed in an empty database.
    Schema,
    /// A snapshot, restored: the folder of one that was taken, else one that is taken now as the manifest
    /// says.
    Snapshot(Option<PathBuf>),
}

impl Ground {
    /// As the manifest writes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Schema => "Schema",
            Self::Snapshot(_) => "Snapshot",
        }
    }
}

/// What is known before a scratch database is made.
pub(super) enum Base<'a> {
    Schema(Refill<'a>, Vec<Prerequisite>),
    /// The folder of a snapshot, and the digest of the history that it has to have.
    Snapshot(PathBuf, String),
}

impl<'a> Base<'a> {
    /// `plan` is the verdict of the stage `plan` about the real database; `applied` the source as it was
    /// applied.
    pub(super) async fn prepare(
        context: &Context,
        on: &Ground,
        real: &mut PgConnection,
        plan: &Outcome,
        applied: &'a SourceTree,
    ) -> Result<Self, ReplayError> {
        let history = plan.history.clone().unwrap_or_default();
        match on {
            Ground::Schema => {
                let refill = Refill::of(members(applied, &history)?.into_iter())?;
                let given = refill.prerequisites(real, &context.manifest.schemas).await?;
                Ok(Self::Schema(refill, given))
            }
            Ground::Snapshot(folder) => {
                restored::nothing_beyond(real).await?;
                let folder = match folder {
                    Some(folder) => folder.clone(),
                    None => taken(context, plan).await?,
                };
                Ok(Self::Snapshot(folder, history.history_digest))
            }
        }
    }

    /// Eight characters for the name of the scratch database.
    pub(super) fn digest(&self) -> String {
        match self {
            Self::Schema(refill, _) => refill.digest(),
            Self::Snapshot(_, digest) => restored::digest(digest),
        }
    }

    /// Fills the scratch database at this URL. Answers a session in it, and how long that took in milliseconds.
    pub(super) async fn fill(
        &self,
        context: &Context,
        url: &ConnectionUrl,
        real: &mut PgConnection,
    ) -> Result<(Session, u64), ReplayError> {
        let begun = Instant::now();
        let session = match self {
            Self::Schema(refill, given) => {
                let connection = ground::connect_to(context, url, real).await?;
                refill.fill(context, connection, given).await?
            }
            Self::Snapshot(folder, digest) => {
                restored::fill(folder, url, digest).await?;
                ground::session(context, ground::connect_to(context, url, real).await?).await?
            }
        };
        Ok((session, milliseconds(begun.elapsed())))
    }
}

/// The applied migrations, in the order in which they were applied.
fn members<'a>(applied: &'a SourceTree, history: &HistorySummary) -> Result<Vec<&'a Migration>, ReplayError> {
    let named = |name: &String| {
        applied.migrations.iter().find(|migration| migration.name == *name).ok_or_else(|| {
            let message = format!(
                "the source lacks {name:?}, which is applied, so Sluice cannot make the schema that the \
                    release finds: rehearse it on a snapshot, or restore that migration"
            );
            ReplayError::Stopped { reason: Reason::RehearsalFailed, message }
        })
    };
    history.applied.iter().rev().map(named).collect()
}

/// The folder of a snapshot that the stage takes now.
async fn taken(context: &Context, plan: &Outcome) -> Result<PathBuf, ReplayError> {
    let outcome = snapshot::run(context, std::slice::from_ref(plan)).await;
    if outcome.verdict != Verdict::Passed {
        return Err(ReplayError::Stopped { reason: outcome.reason, message: outcome.message });
    }
    match outcome.snapshot {
        Some(record) => Ok(restored::folder_of(context, &record)),
        None => Err(ReplayError::Stopped {
            reason: outcome.reason,
            message: format!(
                "there is no snapshot to rehearse on ({}): rehearse on the schema, or name a snapshot \
                    that was taken",
                outcome.message
            ),
        }),
    }
}
