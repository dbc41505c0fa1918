//! What every stage of a run knows.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Rehearsal, Reporter, phases};
use crate::{
    api::{Reason, Span},
    contract::{Leg, PROGRESS_PORT, Purpose, REHEARSAL_URL},
    limits::CLOCK_SKEW,
    migrations::{
        FormatRules, HistoryContract, Holds, PhaseFolder, Rules, SourceError, SourceTree, load_with,
    },
    postgres::{ConnectError, ConnectionUrl, HistoryTable, InvalidUrl},
    validate::ValidatedMigration,
};

/// What every stage of a run knows.
pub struct Context {
    /// The manifest as meant.
    pub manifest: ValidatedMigration,
    /// Where the database is, or why that cannot be read.
    pub url: Result<ConnectionUrl, InvalidUrl>,
    /// The other databases that `verify` reads, by their names: only those whose URL is known.
    pub elsewhere: BTreeMap<String, Result<ConnectionUrl, InvalidUrl>>,
    /// The server that a rehearsal makes its copy on, where the manifest names one and the environment has its URL.
    scratch_server: Option<Result<ConnectionUrl, InvalidUrl>>,
    /// The folder of migrations.
    folder: PathBuf,
    /// Those of its phases.
    phases: Vec<PhaseFolder>,
    source: OnceLock<Result<SourceTree, SourceError>>,
    /// The folder under which snapshots go.
    pub snapshots: PathBuf,
    /// When the run has to end.
    pub until: Instant,
    /// When its window closes, by the clock of the controller.
    pub ends_by: Option<Timestamp>,
    /// How long the migrate stage waits for a lock before it says who holds it; longer where taking the
    /// snapshot again would cost more.
    pub patience: Duration,
    /// What the run is for. Snapshot and migrate do nothing where it only verifies.
    pub purpose: Purpose,
    /// Which leg of the run's route its Pod is: the stages that this one can wait for.
    pub leg: Leg,
    /// The versions of which the verification says whether they are applied.
    pub required: Vec<String>,
    /// A person runs it outside a cluster: what is said names folders, not volumes.
    pub by_hand: bool,
    /// Which attempt at what this is: `DIGEST-aNUMBER`, and which leg after the first, as in the name of the Job that
    /// it belongs to. Empty where there is none.
    pub attempt: String,
    /// What the stages before have logged, where they are other processes.
    pub(super) earlier_log: OnceLock<Vec<String>>,
    /// What the rehearsal of the run found, for its record.
    rehearsal: Mutex<Option<Rehearsal>>,
    /// How far the run is, for clients that poll while it works.
    pub progress: Reporter,
    /// The port at which a Pod tells it.
    pub progress_port: u16,
    /// Its process is told to end: no batch begins any more.
    pub(super) stopping: AtomicBool,
}

/// The last moment by the clock of this node for what has to have ended at another one by that of the controller.
pub(super) fn latest(ends_by: Timestamp) -> Timestamp {
    ends_by.saturating_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN)
}

/// Long enough for most transactions, short enough that a person who watches sees which session the run waits
/// for.
const PATIENCE: Duration = Duration::from_secs(20);

impl Context {
    /// A context whose deadline begins now.
    pub fn new(manifest: ValidatedMigration, url: &str, source: PathBuf, snapshots: PathBuf) -> Self {
        let until = Instant::now() + manifest.deadline.duration();
        let url = ConnectionUrl::parse(url).and_then(|url| verified(url, &manifest));
        let schema = FormatRules::of(manifest.format).default_schema();
        let url = url.map(|url| schema.into_iter().fold(url, ConnectionUrl::or_schema));
        let phases = phases::beside(&manifest, &source);
        let leg = Purpose::Apply.route().rehearsing(manifest.rehearsal.is_some()).first();
        Self {
            manifest,
            url,
            elsewhere: BTreeMap::new(),
            scratch_server: None,
            folder: source,
            phases,
            source: OnceLock::new(),
            snapshots,
            until,
            ends_by: None,
            patience: PATIENCE,
            purpose: Purpose::Apply,
            leg,
            by_hand: false,
            required: Vec::new(),
            attempt: String::new(),
            earlier_log: OnceLock::new(),
            rehearsal: Mutex::new(None),
            progress: Reporter::default(),
            progress_port: PROGRESS_PORT,
            stopping: AtomicBool::new(false),
        }
    }

    /// With another deadline, which begins now, too: what is left of a window.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Span) -> Self {
        self.manifest.deadline = deadline;
        self.until = Instant::now() + deadline.duration();
        self
    }

    /// With a moment at which the run has to have ended, whenever it began. It is the node's clock that says when
    /// that is, and it may be behind the controller's.
    #[must_use]
    pub fn with_end(mut self, ends_by: Timestamp) -> Self {
        let left = Duration::try_from(latest(ends_by).duration_since(Timestamp::now()));
        self.until = self.until.min(Instant::now() + left.unwrap_or_default());
        self.ends_by = Some(ends_by);
        self
    }

    /// The folders of phases are mounted below this one, as in a Pod.
    #[must_use]
    pub fn with_phases_below(mut self, root: &Path) -> Self {
        self.phases = phases::mounted(&self.manifest, root);
        self
    }

    /// The folder of one phase is this one. False when the manifest has no such phase.
    pub fn set_phase(&mut self, name: &str, folder: PathBuf) -> bool {
        let phase = self.phases.iter_mut().find(|phase| phase.name == name);
        phase.map(|phase| phase.folder = folder).is_some()
    }

    /// The migrations, read once: stages that share a process work on the same text, whatever happens to the
    /// folder meanwhile.
    pub fn source(&self) -> Result<&SourceTree, &SourceError> {
        self.source.get_or_init(|| self.load()).as_ref()
    }

    fn load(&self) -> Result<SourceTree, SourceError> {
        let source = load_with(self.manifest.format, &self.folder, &self.phases)?;
        if !self.manifest.allow_empty {
            source.must_not_be_empty(self.manifest.format, &self.folder)?;
        }
        Ok(source)
    }

    /// What the manifest says about source and history.
    pub(super) fn rules<'a>(&'a self, texts: &'a BTreeMap<String, String>, holds: Holds<'a>) -> Rules<'a> {
        Rules { target: self.manifest.target.as_deref(), history: &self.manifest.history, texts, holds }
    }

    /// Which contracts a plan holds. A run that only verifies has none to run.
    pub(super) fn holds(&self) -> Holds<'static> {
        match self.purpose {
            Purpose::Apply => Holds::At(Timestamp::now()),
            Purpose::Verify => Holds::All,
        }
    }

    /// With the URLs of other databases and of a server for copies, as far as the environment has them.
    #[must_use]
    pub fn with_elsewhere(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let others =
            self.manifest.assertions.orphans.iter().filter_map(|relation| relation.database.as_ref());
        let known = others.filter_map(|other| {
            Some((other.name.clone(), ConnectionUrl::parse(&variable(&other.variable())?)))
        });
        self.elsewhere = known.collect();
        let named = self.manifest.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.server.is_some());
        let url = variable(REHEARSAL_URL).filter(|_| named);
        let schema = self.url.as_ref().ok().and_then(ConnectionUrl::schema);
        let parsed = url.map(|url| ConnectionUrl::parse(&url));
        self.scratch_server = parsed.map(|url| Ok(schema.into_iter().fold(url?, ConnectionUrl::or_schema)));
        self
    }

    /// The URL, or the error that a connection would give.
    pub(super) fn url(&self) -> Result<&ConnectionUrl, ConnectError> {
        self.url.as_ref().map_err(|error| ConnectError::Url(error.clone()))
    }

    /// The server that a rehearsal makes its copy on: that of the database, unless the manifest names another one.
    pub(super) fn scratch_server(&self) -> Result<&ConnectionUrl, (Reason, String)> {
        let named = self.manifest.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.server.is_some());
        if !named {
            return self.url().map_err(|error| (error.reason(), error.to_string()));
        }
        match &self.scratch_server {
            Some(Ok(url)) => Ok(url),
            Some(Err(error)) => Err((Reason::ConnectionInvalid, format!("{REHEARSAL_URL}: {error}"))),
            None => {
                let message = format!(
                    "spec.before.rehearsal.server names a server of its own, and the environment has no \
                        {REHEARSAL_URL}: set it to the URL of that server"
                );
                Err((Reason::ConnectionInvalid, message))
            }
        }
    }

    /// The name under which sessions show in `pg_stat_activity`: `sluice NAMESPACE/NAME`, and which attempt.
    /// PostgreSQL cuts it at 63 bytes, so a long name is cut here: the attempt has to be readable, and a
    /// watcher says what it is.
    pub(super) fn application(&self) -> String {
        let longest = 63_usize.saturating_sub("sluice ".len() + " watcher".len() + 1 + self.attempt.len());
        let object: String =
            format!("{}/{}", self.manifest.namespace, self.manifest.name).chars().take(longest).collect();
        format!("sluice {object} {}", self.attempt).trim_end().to_owned()
    }

    /// What the run is for, as the name of its Job has it: the same for each attempt at it. None where there is no
    /// Job.
    pub(super) fn run(&self) -> Option<&str> {
        self.attempt.rsplit_once("-a").map(|(digest, _)| digest)
    }

    /// The history: in the manifest's schema, else Prisma's parameter of the URL, else `public`.
    pub(super) fn history_table(&self) -> HistoryTable {
        let from_url = self.url.as_ref().ok().and_then(ConnectionUrl::schema);
        let schema = self.manifest.history_schema.as_deref().or(from_url).unwrap_or("public");
        HistoryTable { contract: HistoryContract::of(self.manifest.format, schema) }
    }

    /// Keeps what the rehearsal of the run found.
    pub(super) fn keep_rehearsal(&self, rehearsal: Rehearsal) {
        *self.rehearsal.lock().unwrap_or_else(PoisonError::into_inner) = Some(rehearsal);
    }

    /// What the rehearsal of the run found; none where there was none so far.
    pub(super) fn rehearsal(&self) -> Option<Rehearsal> {
        self.rehearsal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is left of the run.
    pub(super) fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Where the file is that `spec.database.tls.caFrom` names: in a Pod it is mounted, elsewhere the user has to
/// say.
const AUTHORITY: &str = "SLUICE_DATABASE_CA";

/// With the authority that the manifest asks for, or not at all.
fn verified(url: ConnectionUrl, manifest: &ValidatedMigration) -> Result<ConnectionUrl, InvalidUrl> {
    if manifest.authority.is_none() {
        return Ok(url);
    }
    let file = std::env::var_os(AUTHORITY).ok_or(InvalidUrl::Tls(
        "spec.database.tls.caFrom of the manifest asks for the certificate of an authority: set \
            SLUICE_DATABASE_CA to the path of that file",
    ))?;
    url.verified_by(file.into())
}
