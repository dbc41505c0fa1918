//! Logs and metrics. Every metric is declared here and nowhere else, and their names are an interface.
//!
//! Few, prefixed `sluice_`, with labels of which there is a finite number: never the name of an object.

use std::{
    collections::VecDeque,
    fmt,
    io::{IsTerminal, Write},
    sync::{Mutex, PoisonError, RwLock},
    time::Duration,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::{redact, visible};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counts the DatabaseMigrations that are `ready`, `reconciling`, `stalled` and `waiting`, at the moment of
/// the scrape.
pub type Census = Box<dyn Fn() -> [(&'static str, i64); 4] + Send + Sync>;

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Labels<1>, Counter>,
    seconds: Histogram,
    errors: Family<Labels<2>, Counter>,
    writes: Family<Labels<1>, Counter>,
    released: Family<Labels<1>, Counter>,
    leader: Gauge,
    migrations: Family<Labels<1>, Gauge>,
    census: RwLock<Option<Census>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sluice"),
            reconciles: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.002, 2.0, 12)),
            errors: Family::default(),
            writes: Family::default(),
            released: Family::default(),
            leader: Gauge::default(),
            migrations: Family::default(),
            census: RwLock::default(),
        };
        let Self { registry, reconciles, seconds, errors, writes, released, leader, migrations, census: _ } =
            &mut metrics;
        registry.register(
            "reconciles",
            "Reconciles of one DatabaseMigration, by how they ended",
            reconciles.clone(),
        );
        registry.register("reconcile_seconds", "How long one reconcile took", seconds.clone());
        registry.register("errors", "Reconciles that could not be ended, by stage and class", errors.clone());
        registry.register("writes", "Writes to the API server, by kind", writes.clone());
        registry.register(
            "released",
            "Workloads let go because what they require is applied",
            released.clone(),
        );
        registry.register("leader", "Whether this replica holds the lease: 1 or 0", leader.clone());
        registry.register(
            "migrations",
            "DatabaseMigrations by state, seen by the leader",
            migrations.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// A reconcile ended well.
    pub fn reconciled(&self, took: Duration) {
        self.reconciles.get_or_create(&[("result", "ok")]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A reconcile did not end well.
    pub fn failed(&self, stage: &'static str, class: &'static str, took: Duration) {
        self.reconciles.get_or_create(&[("result", "error")]).inc();
        self.errors.get_or_create(&[("stage", stage), ("class", class)]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Something was written: `status`, `event`, `job`, `gate` or `delete`.
    pub fn wrote(&self, kind: &'static str) {
        self.writes.get_or_create(&[("kind", kind)]).inc();
    }

    /// A `deployment` was un-paused or a `pod` was let go.
    pub fn released(&self, kind: &'static str) {
        self.released.get_or_create(&[("kind", kind)]).inc();
    }

    /// This replica holds the lease, and counts like this; or it does not.
    pub fn leads(&self, census: Option<Census>) {
        self.leader.set(i64::from(census.is_some()));
        *self.census.write().unwrap_or_else(PoisonError::into_inner) = census;
    }

    /// The text format of OpenMetrics.
    pub fn text(&self) -> String {
        match &*self.census.read().unwrap_or_else(PoisonError::into_inner) {
            Some(census) => census().into_iter().for_each(|(state, count)| {
                self.migrations.get_or_create(&[("state", state)]).set(count);
            }),
            None => self.migrations.clear(),
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes every text");
        text
    }
}

/// Whose log lines hold no rows. Others may: the driver of the database repeats every NOTICE.
const WITHOUT_DATA: [&str; 6] = ["sluice", "kube", "hyper", "h2", "rustls", "tower"];

fn holds_data(target: &str) -> bool {
    target == redact::DATA || !WITHOUT_DATA.iter().any(|known| target.starts_with(known))
}

/// What may stand in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// No text that may quote rows or literals, whatever `RUST_LOG` says.
    LeftOut,
    /// Everything that PostgreSQL says (`spec.apply.logData`).
    Included,
}

/// Starts logging to standard error: JSON lines where standard error is no terminal. `RUST_LOG` says how
/// much, without it `default` does.
pub fn start_logging(rows: Rows, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let is_allowed = filter_fn(move |line| rows == Rows::Included || !holds_data(line.target()));
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || Visible { terminal });
    let kept = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
    let kept = kept.with_span_list(false).with_writer(|| Kept).with_filter(filter_fn(|line| {
        *line.level() <= Level::INFO && line.target().starts_with("sluice") && !holds_data(line.target())
    }));
    let registry = tracing_subscriber::registry().with(kept);
    // A second call finds a subscriber in place, which is just as well.
    let _ = if terminal {
        registry.with(lines.with_filter(is_allowed).with_filter(filter)).try_init()
    } else {
        let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
        registry.with(lines.with_filter(is_allowed).with_filter(filter)).try_init()
    };
}

/// So many lines are kept for the record of a run, the newest, each of at most so many characters.
const LINES: usize = 200;
const LONGEST: usize = 2000;

static KEPT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// What this process has logged, for the record of a run: the newest lines in JSON, without those that may
/// quote rows or literals, whatever may stand in the log.
pub fn kept_lines() -> Vec<String> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Where those lines go. Each comes in one piece.
struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = redact::bounded(&visible::visible(&redact::connection_strings(text.trim_end())), LONGEST);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= LINES {
            kept.pop_front();
        }
        kept.push_back(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How much is logged in a Pod.
pub const USUAL: &str = "info,kube_runtime=warn,kube_lease_manager=warn";
/// What is logged where nothing was asked for but what PostgreSQL says.
pub const ONLY_DATA: &str = "info,sluice=off,sluice::data=warn";

/// Standard error, without what would steer a terminal. Each line of the log comes in one piece.
struct Visible {
    terminal: bool,
}

impl Write for Visible {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let shown = if self.terminal { visible::coloured(&text) } else { visible::json(&text) };
        std::io::stderr().write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_newest_lines_are_kept_without_passwords_and_without_what_steers() {
        for number in 0..LINES + 5 {
            let line = format!("{{\"n\":{number}}} postgres://me:s3cret@db/x \u{1b}[2J\n");
            Kept.write_all(line.as_bytes()).expect("is kept");
        }
        let kept = kept_lines();
        assert_eq!(kept.len(), LINES);
        assert!(kept[LINES - 1].starts_with(&format!("{{\"n\":{}}}", LINES + 4)), "{:?}", kept.last());
        assert!(kept.iter().all(|line| !line.contains("s3cret") && !line.contains('\u{1b}')), "{kept:?}");
    }

    #[test]
    fn the_names_of_the_metrics_are_an_interface() {
        let metrics = Metrics::default();
        metrics.reconciled(Duration::from_millis(3));
        metrics.failed("act", "transient", Duration::from_millis(3));
        metrics.wrote("status");
        metrics.released("pod");
        metrics.leads(Some(Box::new(|| [("ready", 3), ("reconciling", 1), ("stalled", 0), ("waiting", 0)])));
        let text = metrics.text();
        for line in [
            "sluice_reconciles_total{result=\"ok\"} 1",
            "sluice_reconciles_total{result=\"error\"} 1",
            "sluice_errors_total{stage=\"act\",class=\"transient\"} 1",
            "sluice_writes_total{kind=\"status\"} 1",
            "sluice_released_total{kind=\"pod\"} 1",
            "sluice_reconcile_seconds_count 2",
            "sluice_leader 1",
            "sluice_migrations{state=\"ready\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is missing in\n{text}");
        }
        metrics.leads(None);
        assert!(!metrics.text().contains("state=\"ready\""), "a follower counts nothing");
    }
}
