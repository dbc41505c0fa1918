//! Says how far this process is, to a client that polls its Pod, while a stage works. Nothing depends on it:
//! where the port cannot be had, or no client polls, a run goes on as it would.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    api::Blocker,
    contract::{Count, IndexProgress, Progress, Rows, Stage},
    postgres::{IndexPhase, Watcher},
    serve,
};

/// How far a run is, shared by the task that works and the task that serves.
#[derive(Clone, Debug, Default)]
pub struct Reporter(Arc<Mutex<Option<Progress>>>);

impl Reporter {
    /// How far it is; none before the first stage.
    pub fn now(&self) -> Option<Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A stage begins.
    pub(super) fn begin(&self, stage: Stage) {
        self.set(Some(Progress::of(stage, whole_second())));
    }

    /// A migration begins: the one behind so many of so many.
    pub(super) fn migration(&self, name: &str, (done, of): (usize, usize)) {
        self.change(|progress| {
            progress.since = whole_second();
            progress.migration = Some(name.to_owned());
            progress.migrations = Some(Count::after(done, of));
            (progress.statements, progress.rows) = (None, None);
        });
    }

    /// Of its statements so many are done, and one runs alone. Of several that are one message it is unknown
    /// how far they are: the server answers when all have ended.
    pub(super) fn statement(&self, one: Option<(usize, usize)>) {
        self.change(|progress| {
            progress.statements = one.map(|(done, of)| Count::after(done, of));
            progress.rows = None;
        });
    }

    /// The statement that runs in batches is so far.
    pub(super) fn rows(&self, rows: Rows) {
        self.change(|progress| progress.rows = Some(rows));
    }

    /// What another session sees of it: the index that PostgreSQL builds, and the sessions that it waits for.
    pub(super) fn seen(&self, index: Option<IndexProgress>, blockers: Vec<Blocker>) {
        self.change(|progress| {
            progress.index = index;
            progress.wait_for(blockers);
        });
    }

    fn set(&self, progress: Option<Progress>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(progress);
        }
    }
}

/// How often it says what another session sees of its work.
const SEEN_EVERY: Duration = Duration::from_secs(1);

/// Does this work, and says meanwhile what the watcher sees of it.
pub(super) async fn seen_meanwhile<T>(
    reporter: &Reporter,
    watcher: &Watcher,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let ended = loop {
        if let Ok(ended) = tokio::time::timeout(SEEN_EVERY, &mut work).await {
            break ended;
        }
        let index = watcher.index().map(|IndexPhase { phase, percent }| IndexProgress {
            phase,
            percent: percent.and_then(|percent| u8::try_from(percent).ok()),
        });
        reporter.seen(index, watcher.blockers());
    };
    reporter.seen(None, Vec::new());
    ended
}

fn whole_second() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

/// The stage before has the port until its process has ended.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Serves it until it is dropped.
pub(super) async fn serve(reporter: Reporter, port: u16) {
    let listener = loop {
        // One for both families where the node has both; the older one alone where it has no other.
        let addresses = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let mut found = None;
        for address in addresses {
            if let Ok(listener) = serve::listen(SocketAddr::new(address, port)).await {
                found = Some(listener);
                break;
            }
        }
        match found {
            Some(listener) => break listener,
            None => tokio::time::sleep(TRY_EVERY).await,
        }
    };
    serve::serve_progress(listener, move || reporter.now()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_at_the_statement_behind_those_that_are_done() {
        let reporter = Reporter::default();
        reporter.statement(Some((3, 7)));
        assert_eq!(reporter.now(), None, "before the first stage there is nothing to count");
        reporter.begin(Stage::Migrate);
        reporter.migration("2_b", (1, 5));
        assert_eq!(reporter.now().expect("a stage").summary(), "2_b (2 of 5)");
        reporter.statement(Some((2, 7)));
        assert_eq!(reporter.now().expect("a stage").summary(), "2_b (2 of 5), statement 3 of 7");
        reporter.begin(Stage::Verify);
        assert_eq!(reporter.now().expect("a stage").summary(), "verify");
    }
}
