//! A second session that sees what the first one cannot say while it waits or works: whom it waits for, how far
//! the index is that it builds, and for how long it has kept others waiting. Where the manifest limits that, it ends
//! what the first one does.
//!
//! The task that polls and the run that is watched take turns: what the task cancels is what the run is at, and
//! once the run has sealed a transaction to commit it, nothing of it is cancelled any more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinHandle;

use super::{
    ConnectError, ConnectionUrl, QueryContext, QueryError,
    blocked::{Seen, Termination, WaitsFor, blockers, end, older, still_there},
    connect::connect_with,
    holds::{Holds, LongestHold},
    index_progress::{IndexPhase, index_phase},
    query, said,
    startup::SILENT,
    strong_locks::{strong_locks, tables_of},
};
use crate::{
    api::{Blocker, Blockers, LockHold, Span, Terminate},
    sql::LockMode,
};

/// How often it polls. Well below the lock timeout, so that no wait goes unseen.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// A poll that takes longer has lost its server.
const POLL_WITHIN: Duration = Duration::from_secs(2);

/// A session that was seen longer ago than this does not block any more.
const STALE: Duration = Duration::from_secs(1);

/// A session that may not be ended yet is tried again after this.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// How often it reads how far an index is.
const INDEX_EVERY: Duration = Duration::from_secs(1);

/// So many sessions that were ended are named at most.
const NAMED: usize = 5;

/// How long a statement may take to heed that it is cancelled; then its session is ended.
const END_AFTER: Duration = Duration::from_secs(1);

/// What the manifest says about locks.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockPolicy {
    /// For how long a table may be locked; none without a limit.
    pub held: Option<Span>,
    /// What becomes of sessions that block.
    pub blockers: Blockers,
}

/// Sessions that were in the way, and what the manifest let Sluice do about them.
#[derive(Clone, Debug, Default)]
pub struct Terminations {
    /// Those that were ended, a bounded number of them.
    pub ended: Vec<Blocker>,
    /// How many were.
    pub count: usize,
    /// One of those that the manifest names that the migration role may not end.
    pub forbidden: Option<Blocker>,
}

/// Watches one back end.
pub struct Watcher {
    watch: Arc<tokio::sync::Mutex<Watch>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    index: Arc<Mutex<Option<IndexPhase>>>,
    limit: Option<Span>,
    task: JoinHandle<()>,
}

/// A table was locked for too long.
#[derive(Clone, Debug)]
pub struct HeldTooLong {
    /// The table, with its schema.
    pub table: String,
    /// The strongest lock on it.
    pub mode: LockMode,
    /// For how long, when it was cancelled.
    pub held: Duration,
    /// For how long it may be.
    pub limit: Span,
    /// What took the lock, as [`Watcher::took`] was told; none where the statement did that is at work.
    pub taken_by: Option<String>,
    /// Nothing was at work: it waited for another session.
    pub waited: bool,
}

/// Why a transaction is not committed.
#[derive(Debug)]
pub enum Unsealed {
    /// It has kept others waiting for too long.
    Held(HeldTooLong),
    /// Whether it has is not known.
    Unknown(String),
}

/// Sessions whose transactions are older than a statement that is to wait for them.
pub struct Older(Vec<Seen>);

impl Older {
    /// Who they are.
    pub fn sessions(&self) -> impl Iterator<Item = &Blocker> {
        self.0.iter().map(|seen| &seen.blocker)
    }
}

/// What the task and the run share: one of them has it at a time.
struct Watch {
    connection: PgConnection,
    url: ConnectionUrl,
    application: String,
    pid: i32,
    policy: LockPolicy,
    terminations: Terminations,
    /// When to try again to end the session of a transaction; none where that is settled.
    tries: BTreeMap<(i32, Option<String>), Option<Instant>>,
    holds: Holds,
    /// What took the locks on these relations in the transaction that is open.
    taken: BTreeMap<i64, String>,
    /// The limit holds for what runs now.
    armed: bool,
    over: Option<Over>,
    /// The index that the back end builds, and when that is read again.
    index: Option<IndexPhase>,
    index_due: Instant,
}

#[derive(Clone)]
struct Over {
    transaction: String,
    hold: LongestHold,
    waited: bool,
    since: Instant,
}

impl Watcher {
    /// Begins to watch the back end with this process id.
    pub async fn start(
        url: &ConnectionUrl,
        application: &str,
        pid: i32,
        policy: LockPolicy,
    ) -> Result<Self, ConnectError> {
        let application = format!("{application} watcher");
        let watch = Arc::new(tokio::sync::Mutex::new(Watch {
            connection: connect_with(url, &application, &[SILENT]).await?,
            url: url.clone(),
            application,
            pid,
            policy,
            terminations: Terminations::default(),
            tries: BTreeMap::new(),
            holds: Holds::default(),
            taken: BTreeMap::new(),
            armed: false,
            over: None,
            index: None,
            index_due: Instant::now() + INDEX_EVERY,
        }));
        let (seen, index) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
        let (watched, noted, told) = (Arc::clone(&watch), Arc::clone(&seen), Arc::clone(&index));
        let task = tokio::spawn(async move {
            loop {
                let mut watch = watched.lock().await;
                let polled = watch.poll().await;
                told.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&watch.index);
                drop(watch);
                if let Ok(blockers) = polled
                    && !blockers.is_empty()
                {
                    *noted.lock().unwrap_or_else(PoisonError::into_inner) = blockers;
                }
                tokio::time::sleep(POLL_EVERY).await;
            }
        });
        Ok(Self { watch, seen, index, limit: policy.held, task })
    }

    /// For how long a table may be locked.
    pub const fn limit(&self) -> Option<Span> {
        self.limit
    }

    /// A transaction of the team's begins, or a statement outside of one: from now on the limit holds.
    pub async fn begin(&self) {
        if self.limit.is_some() {
            let mut watch = self.watch.lock().await;
            (watch.armed, watch.over) = (true, None);
            watch.taken.clear();
        }
    }

    /// These relations are locked now, and those that were not before are so by this statement.
    pub async fn took(&self, relations: &[i64], statement: &str) {
        let mut watch = self.watch.lock().await;
        for relation in relations {
            watch.taken.entry(*relation).or_insert_with(|| statement.to_owned());
        }
    }

    /// Whether what ended has kept others waiting for too long. From now on nothing is cancelled.
    pub async fn held_too_long(&self) -> Option<HeldTooLong> {
        self.limit?;
        let mut watch = self.watch.lock().await;
        watch.armed = false;
        watch.held_too_long()
    }

    /// To be committed, a transaction must not have kept others waiting for too long, and that has to be known.
    /// From now on nothing is cancelled.
    pub async fn seal(&self) -> Result<(), Unsealed> {
        if self.limit.is_none() {
            return Ok(());
        }
        let mut watch = self.watch.lock().await;
        if watch.poll().await.is_err() {
            // With the new session, if there is one.
            watch.poll().await.map_err(|error| Unsealed::Unknown(error.to_string()))?;
        }
        watch.armed = false;
        watch.held_too_long().map_or(Ok(()), |over| Err(Unsealed::Held(over)))
    }

    /// For how long each table was locked at most, the longest first, a bounded number of them.
    pub async fn longest_holds(&self) -> Vec<LockHold> {
        let mut watch = self.watch.lock().await;
        // What was released since the last poll ends now.
        let _ = watch.poll().await;
        watch.holds.longest()
    }

    /// The sessions that were seen blocking just now.
    pub fn blockers(&self) -> Vec<Blocker> {
        self.seen().into_iter().map(|seen| seen.blocker).collect()
    }

    /// The sessions that were seen blocking at this moment or after it.
    pub fn blockers_at(&self, moment: Instant) -> Vec<Blocker> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let then = seen.iter().filter(|seen| seen.at + STALE > moment);
        then.map(|seen| seen.blocker.clone()).collect()
    }

    /// How far the index is that the back end builds; none where it builds none.
    pub fn index(&self) -> Option<IndexPhase> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|seen| seen.at.elapsed() < STALE).cloned().collect()
    }

    /// Waits until every session last seen blocking has ended that transaction; false when the time is up.
    pub async fn wait_until_clear(&self, until: Instant) -> Result<bool, QueryError> {
        self.wait_for(self.seen(), until).await.map(|left| left.is_empty())
    }

    /// Those whose transactions a statement on these relations would wait for that says CONCURRENTLY
    /// ([`wait_for_older`](Self::wait_for_older)).
    pub async fn older(&self, waits_for: WaitsFor, relations: &[i64]) -> Result<Older, QueryError> {
        let mut watch = self.watch.lock().await;
        let pid = watch.pid;
        older(&mut watch.connection, pid, waits_for, relations).await.map(Older)
    }

    /// Waits until they have ended those transactions; answers who has not when the time is up.
    pub async fn wait_for_older(&self, older: Older, until: Instant) -> Result<Vec<Blocker>, QueryError> {
        let left = self.wait_for(older.0, until).await?;
        Ok(left.into_iter().map(|seen| seen.blocker).collect())
    }

    async fn wait_for(&self, mut seen: Vec<Seen>, until: Instant) -> Result<Vec<Seen>, QueryError> {
        loop {
            let mut left = Vec::new();
            for one in seen {
                let mut watch = self.watch.lock().await;
                watch.end_what_blocks(std::slice::from_ref(&one)).await?;
                if still_there(&mut watch.connection, &one).await? {
                    left.push(Seen { at: Instant::now(), ..one });
                }
            }
            if left.is_empty() || Instant::now() >= until {
                return Ok(left);
            }
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&left);
            seen = left;
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// What became of sessions that were in the way.
    pub async fn terminations(&self) -> Terminations {
        self.watch.lock().await.terminations.clone()
    }

    /// Asks the server to cancel what the back end is doing.
    pub async fn cancel(&self, pid: i32) {
        let cancelled = query("SELECT pg_catalog.pg_cancel_backend($1)")
            .bind(pid)
            .execute(&mut self.watch.lock().await.connection)
            .await;
        if let Err(error) = cancelled {
            tracing::warn!(
                error = said(&error),
                "could not cancel the statement; its session ends with this process"
            );
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Sees what there is to see; after a failure the next poll has a new session.
    async fn poll(&mut self) -> Result<Vec<Seen>, QueryError> {
        let polled = tokio::time::timeout(POLL_WITHIN, self.inspect()).await;
        let polled = polled.unwrap_or_else(|_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(sqlx::Error::Io(late)).context("watch the migration")
        });
        if polled.is_err() {
            let again = connect_with(&self.url, &self.application, &[SILENT]);
            if let Ok(Ok(connection)) = tokio::time::timeout(POLL_WITHIN, again).await {
                self.connection = connection;
            }
        }
        polled
    }

    async fn inspect(&mut self) -> Result<Vec<Seen>, QueryError> {
        let blockers = blockers(&mut self.connection, self.pid).await?;
        let locks = strong_locks(&mut self.connection, self.pid).await?;
        let unknown = self.holds.unknown(&locks);
        if !unknown.is_empty() {
            let tables = tables_of(&mut self.connection, &unknown).await?;
            self.holds.learn(&unknown, tables);
        }
        self.holds.note(&locks, Instant::now());
        self.end_what_blocks(&blockers).await?;
        if self.armed
            && let Some(limit) = self.policy.held
        {
            self.enforce(limit, !blockers.is_empty()).await?;
        }
        if Instant::now() >= self.index_due {
            self.index = index_phase(&mut self.connection, self.pid).await?;
            self.index_due = Instant::now() + INDEX_EVERY;
        }
        Ok(blockers)
    }

    /// Ends those of these sessions that the manifest names.
    async fn end_what_blocks(&mut self, seen: &[Seen]) -> Result<(), QueryError> {
        if self.policy.blockers.terminate == Terminate::Never {
            return Ok(());
        }
        for one in seen {
            let key = (one.blocker.pid, one.transaction.clone());
            if self.tries.get(&key).is_some_and(|next| next.is_none_or(|next| Instant::now() < next)) {
                continue;
            }
            let came = end(&mut self.connection, one, self.policy.blockers).await?;
            self.tries.insert(key, (came == Termination::Spared).then(|| Instant::now() + TRY_EVERY));
            let Blocker { pid, application, user, state, age_seconds } = &one.blocker;
            match came {
                Termination::Ended => {
                    tracing::warn!(pid, %application, %user, %state, age_seconds, "ended a session that the \
                        migration waited for, as spec.apply.blockers says");
                    self.terminations.count += 1;
                    if self.terminations.ended.len() < NAMED {
                        self.terminations.ended.push(one.blocker.clone());
                    }
                }
                Termination::Forbidden => self.terminations.forbidden = Some(one.blocker.clone()),
                Termination::Spared => {}
            }
        }
        Ok(())
    }

    /// Cancels what is over its time, again at each poll: a session that is between two statements does not heed
    /// it. One that goes on all the same is ended.
    async fn enforce(&mut self, limit: Span, waits: bool) -> Result<(), QueryError> {
        let now = Instant::now();
        if self.over.is_none()
            && let Some(hold) = self.holds.over(limit.duration(), now)
            && let Some(transaction) = self.holds.transaction()
        {
            tracing::warn!(table = %hold.table, mode = hold.mode.words(), limit = %limit, "a lock was held for \
                too long; cancelling what holds it");
            let transaction = transaction.to_owned();
            self.over = Some(Over { transaction, hold, waited: waits, since: now });
        }
        let Some(over) = &self.over else { return Ok(()) };
        let late = now.saturating_duration_since(over.since) >= END_AFTER;
        let function = if late { "pg_terminate_backend" } else { "pg_cancel_backend" };
        // Only while it is in that transaction: what it does next is to go on.
        let text = format!(
            "SELECT pg_catalog.{function}($1) WHERE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid = $1 AND \
                virtualtransaction = $2)"
        );
        let ended = query(AssertSqlSafe(text)).bind(self.pid).bind(&over.transaction);
        ended.execute(&mut self.connection).await.context("cancel what holds a lock")?;
        Ok(())
    }

    fn held_too_long(&self) -> Option<HeldTooLong> {
        let (over, limit) = (self.over.as_ref()?, self.policy.held?);
        Some(HeldTooLong {
            table: over.hold.table.clone(),
            mode: over.hold.mode,
            held: over.hold.held,
            limit,
            taken_by: over.hold.relations.iter().find_map(|relation| self.taken.get(relation).cloned()),
            waited: over.waited,
        })
    }
}
