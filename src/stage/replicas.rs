//! Waits for replicas before a batch: until none is further behind than the directive and the manifest allow.

use std::time::Duration;

use super::{
    batch::{over, refused},
    error::MigrateError,
    step::{Ended, Stop, Work},
};
use crate::{
    api::{Reason, Span},
    migrations::Batches,
    postgres::{ReplicaLag, Replicas, Session},
};

/// How often Sluice reads how far they are behind, while it waits for them.
const READ_EVERY: Duration = Duration::from_millis(500);

/// How far they may be behind, and how far they are.
pub(super) struct Throttle {
    /// None where any lag is allowed.
    most: Option<Span>,
    replicas: Replicas,
}

impl Throttle {
    /// Of a statement in batches. Of the directive and the manifest the one counts that allows less.
    pub(super) fn of(work: &Work<'_>, batches: &Batches) -> Self {
        let of_all = work.release.context.manifest.backfill_max_lag;
        Self { most: batches.max_lag.into_iter().chain(of_all).min(), replicas: Replicas::default() }
    }

    /// Waits as long as it is too much, and says so each time.
    pub(super) async fn wait(
        &mut self,
        session: &mut Session,
        work: &Work<'_>,
        at: usize,
        waits: impl Fn(),
    ) -> Ended {
        let Some(most) = self.most else { return Ok(Ok(())) };
        loop {
            let connection = session.trusted().await.map_err(MigrateError::Query)?;
            match self.replicas.lag(connection).await.map_err(MigrateError::Query)? {
                ReplicaLag::Behind(lag) if lag <= most.duration() => return Ok(Ok(())),
                ReplicaLag::Behind(lag) => {
                    tracing::info!(migration = %work.migration.name, lag = ?lag, "waiting for a replica");
                    waits();
                }
                ReplicaLag::Hidden => {
                    let hidden = refused(work, at, Reason::PrivilegesMissing, HIDDEN.to_owned());
                    return Ok(Err(Stop::Refused(Box::new(hidden))));
                }
            }
            if let Some(stop) = over(work, at) {
                return Ok(Err(stop));
            }
            tokio::time::sleep(READ_EVERY).await;
        }
    }
}

const HIDDEN: &str = "the statement waits for replicas (max-lag= of its directive, or \
    spec.apply.backfill.maxLag of the manifest), and the migration role may not see how far they are behind: \
    GRANT pg_monitor to it, or remove that limit";
