//! Watches, and for each wake-up one [`reconcile`]: observe → validate → plan → act or report. A wake-up
//! carries no reason; every reconcile starts at the top and writes at most one thing.
//!
//! `observe` reads and never decides, `plan` decides and never reads, `act` and `report` are the only
//! writers.

mod act;
pub mod error;
mod failures;
pub mod known;
mod leader;
pub mod neighbours;
mod observe;
mod policies;
pub mod progress;
mod reader;
mod report;
mod required;
pub mod rollout;
mod runs;
mod scope;
pub mod waiting;
pub mod watch;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{Client, runtime::controller::Action};
use tracing::{Span, debug, field::Empty, instrument};

use crate::{
    api::Pods,
    contract::{Purpose, Route},
    objects::Images,
    plan::{Plan, facts::Facts, plan, step::Step},
    telemetry::Metrics,
};
use act::Effect;
use error::{ErrorClass, ReconcileError};
use failures::Failures;
use neighbours::Index;
use observe::Observed;
use progress::{Ask, Poller};

pub use leader::{Controllers, Ended, Identity, while_leading};
pub use scope::{Scope, Stop};

/// How long to wait for what was done before and is not seen yet.
const UNSEEN: Duration = Duration::from_secs(1);

/// How long to wait after another client was faster.
const OVERTAKEN: Duration = Duration::from_millis(20);

/// How long to wait for a namespace to be gone.
const GOING_AWAY: Duration = Duration::from_secs(10);

/// What every reconcile knows.
pub struct Context {
    client: Client,
    images: Images,
    /// What the chart says about the Pods of runs.
    pods: Pods,
    /// The route of a run that may change something.
    route: Route,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    instance: String,
    index: Index,
    failures: Failures,
    poller: Poller,
    metrics: Arc<Metrics>,
}

impl Context {
    /// For one process. `instance` names it in Events.
    pub fn new(client: Client, images: Images, instance: String, metrics: Arc<Metrics>) -> Self {
        let clock = Box::new(Timestamp::now);
        Self {
            client,
            images,
            pods: Pods::default(),
            route: Purpose::Apply.route(),
            clock,
            instance,
            index: Index::default(),
            failures: Failures::default(),
            poller: Poller::default(),
            metrics,
        }
    }

    /// With other Pods than Sluice's defaults make.
    #[must_use]
    pub fn with_pods(self, pods: Pods) -> Self {
        Self { pods, ..self }
    }

    /// With another route for the runs that may change something: a test plays one of several legs.
    #[must_use]
    pub fn with_route(self, route: Route) -> Self {
        Self { route, ..self }
    }

    /// With another clock: a test plays minutes in a moment.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// With caches that say which objects are worth reconciling.
    #[must_use]
    pub fn with_index(self, index: Index) -> Self {
        Self { index, ..self }
    }

    /// With another method of polling Pods for their progress: a test answers for them.
    #[must_use]
    pub fn with_ask(self, ask: Ask) -> Self {
        Self { poller: Poller::new(ask), ..self }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// Brings one DatabaseMigration one step further.
#[instrument(skip_all, fields(namespace, name, uid = Empty, generation = Empty, step = Empty, reason = Empty))]
pub async fn reconcile(context: &Context, namespace: &str, name: &str) -> Result<Action, ReconcileError> {
    Span::current().record("namespace", namespace).record("name", name);
    let observed = observe::observe(context, namespace, name).await;
    let Some(mut observed) =
        observed.map_err(|source| ReconcileError::Observe { source: Box::new(source) })?
    else {
        return Ok(Action::await_change());
    };
    observed.facts.progress = progress::read(context, &observed.facts).await;
    let facts = &observed.facts;
    let Some(plan) = planned(context, &observed).await? else { return Ok(Action::requeue(OVERTAKEN)) };
    record(facts, &plan);

    // The status first: a new spec turns Ready off, and a run is announced, before anything else happens.
    if plan.speaks(facts) {
        for announcement in &plan.events {
            report::announce(context, facts, announcement).await;
            context.metrics.wrote("event");
        }
        let reported = report::report(context, &observed, &plan.status).await;
        reported.map_err(|source| ReconcileError::Report { source: Box::new(source) })?;
        context.metrics.wrote("status");
        return Ok(next(plan.step.is_some().then_some(Duration::ZERO).or(plan.requeue)));
    }
    let Some(step) = &plan.step else {
        context.failures.forget(&facts.uid);
        return Ok(next(plan.requeue));
    };
    let acted = act::act(context, &observed, step).await;
    let effect = acted.map_err(|source| ReconcileError::Act { source: Box::new(source) })?;
    context.failures.forget(&facts.uid);
    Ok(next(Some(match effect {
        Effect::Done => {
            context.metrics.wrote(step.name());
            Duration::ZERO
        }
        Effect::DoneBefore => UNSEEN,
    })))
}

/// What follows from what was observed. A Job follows only while the object is as it was read before its Jobs
/// were listed: one that was deleted in between took its Jobs with it, and an attempt that had begun would
/// begin once more. `None` where it is not.
async fn planned(context: &Context, observed: &Observed) -> Result<Option<Plan>, ReconcileError> {
    let facts = &observed.facts;
    let first = plan(facts, context.now());
    if first.speaks(facts) || !matches!(first.step, Some(Step::CreateJob(_))) {
        return Ok(Some(first));
    }
    let unchanged = observe::is_unchanged(context, observed).await;
    let unchanged = unchanged.map_err(|source| ReconcileError::Observe { source: Box::new(source) })?;
    // A gate may have closed while the answer was on its way.
    Ok(unchanged.then(|| plan(facts, context.now())))
}

/// After a reconcile that could not be ended: again, less and less often. A refusal is remembered, and shown
/// in the status. Who was overtaken has failed at nothing.
pub fn retry(context: &Context, uid: &str, error: &ReconcileError) -> Action {
    Action::requeue(match error.class() {
        ErrorClass::Conflict => OVERTAKEN,
        ErrorClass::NamespaceTerminating => GOING_AWAY,
        ErrorClass::Transient | ErrorClass::NeedsUser => error::pause(context.failures.count(uid, error)),
    })
}

fn next(after: Option<Duration>) -> Action {
    after.map_or_else(Action::await_change, Action::requeue)
}

fn record(facts: &Facts, plan: &Plan) {
    let span = Span::current();
    let ready = plan.status.conditions.first().map_or("", |ready| ready.reason.as_str());
    span.record("uid", &facts.uid).record("generation", facts.generation).record("reason", ready);
    if let Some(step) = &plan.step {
        span.record("step", step.name());
    }
    debug!(?plan, "planned");
}
