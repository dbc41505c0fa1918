//! Who works: every replica lets workloads go, and the one that holds the lease reconciles. The lease avoids
//! double work; what keeps two from doing harm is deterministic names, and locks in the database.

use std::{sync::Arc, time::Duration};

use kube::{Api, Client, api::ListParams};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    Context, Stop,
    error::chain,
    rollout,
    scope::{Scope, api},
    watch as watches,
};
use crate::{
    api::{DatabaseMigration, MigrationGate, Pods},
    limits::{LEASE_SECONDS, RENEWAL_SECONDS},
    objects::Images,
    serve::Health,
    telemetry::Metrics,
};

/// The lease, in the controller's own namespace.
const LEASE: &str = "sluice";
/// How often the controller checks for a missing CustomResourceDefinition.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// This Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
}

/// Everything that runs until the process is told to stop.
pub struct Controllers {
    /// How to reach the API server.
    pub client: Client,
    /// What the stages run from.
    pub images: Images,
    /// What the chart says about the Pods of runs.
    pub pods: Pods,
    /// What to watch; one entry that is `None` for every namespace.
    pub scopes: Vec<Scope>,
    /// How many objects are reconciled in parallel.
    pub concurrency: u16,
    /// This Pod; without it there is no lease, and this process leads.
    pub identity: Option<Identity>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` says.
    pub health: Arc<Health>,
}

/// Why leading has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The process was told to stop.
    Stopped,
    /// What keeps the lease is gone: nothing would say any more that the lease is lost.
    LeaseUnknown,
}

/// Leads for as long as `leading` says so, again and again, until `stop` ends or `lead` does; and no longer
/// than something can say so.
pub async fn while_leading<F: Future<Output = ()>>(
    leading: &mut watch::Receiver<bool>,
    stop: &Stop,
    lead: impl Fn() -> F,
    lost: impl Fn(),
) -> Ended {
    loop {
        tokio::select! {
            told = leading.wait_for(|leading| *leading) => if told.is_err() { return Ended::LeaseUnknown },
            () = stop.clone() => return Ended::Stopped,
        }
        let mut ended = leading.clone();
        // Dropping the loops ends them at once, in the middle of what they were doing. That is safe at any
        // point.
        let told = tokio::select! {
            () = lead() => return Ended::Stopped,
            told = ended.wait_for(|leading| !*leading) => told.map(|_| ()),
        };
        lost();
        if told.is_err() {
            return Ended::LeaseUnknown;
        }
    }
}

impl Controllers {
    /// Works until `stop` ends: then no new work is taken, what has begun ends, and the lease is given back.
    pub async fn run(self, stop: Stop) {
        tokio::select! {
            () = self.wait_for_kinds() => self.health.set_established(),
            () = stop.clone() => return,
        }
        self.health.set_working(true);
        let rollout = rollout::run(
            self.client.clone(),
            Arc::clone(&self.metrics),
            &self.scopes,
            self.concurrency,
            stop.clone(),
        );
        tokio::join!(rollout, self.lead(stop));
        self.health.set_working(false);
    }

    /// The CustomResourceDefinitions may be installed after the controller.
    async fn wait_for_kinds(&self) {
        let one = ListParams::default().limit(1);
        let scope = self.scopes.first().cloned().flatten();
        loop {
            let migrations: Api<DatabaseMigration> = api(&self.client, &scope);
            let gates: Api<MigrationGate> = api(&self.client, &scope);
            match futures::try_join!(migrations.list_metadata(&one), gates.list_metadata(&one)) {
                Ok(_) => return,
                Err(error) => {
                    warn!(error = chain(&error), "waiting for the API server to serve sluice.dev/v1alpha1");
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn lead(&self, stop: Stop) {
        let Some(identity) = &self.identity else {
            info!("no POD_NAME and POD_NAMESPACE: leading without a lease");
            return self.reconcile(stop).await;
        };
        while self.lead_with_a_lease(identity, &stop).await == Ended::LeaseUnknown {
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stop.clone() => return,
            }
        }
    }

    /// With one lease, until that is given back or nothing keeps it any more.
    async fn lead_with_a_lease(&self, identity: &Identity, stop: &Stop) -> Ended {
        let lease = tokio::select! {
            lease = self.lease(identity) => lease,
            () = stop.clone() => return Ended::Stopped,
        };
        let (mut leading, task) = lease.watch().await;
        let lead = || async {
            info!(pod = identity.pod, "leading");
            self.reconcile(stop.clone()).await;
        };
        let lost = || {
            warn!(pod = identity.pod, "lost the lease: following");
            self.metrics.leads(None);
        };
        let ended = while_leading(&mut leading, stop, lead, lost).await;
        self.metrics.leads(None);
        // Without a listener the lease is given back.
        drop(leading);
        match task.await {
            Ok(Ok(_)) => info!(pod = identity.pod, "gave the lease back"),
            Ok(Err(error)) => {
                warn!(error = chain(&error), "cannot give the lease back; it expires");
            }
            Err(error) => warn!(error = chain(&error), "cannot give the lease back; it expires"),
        }
        ended
    }

    /// The lease, as soon as the API server lets this Pod see it.
    async fn lease(&self, identity: &Identity) -> LeaseManager {
        loop {
            let lease = LeaseManagerBuilder::new(self.client.clone(), LEASE)
                .with_namespace(&identity.namespace)
                .with_identity(&identity.pod)
                .with_duration(LEASE_SECONDS)
                .with_grace(RENEWAL_SECONDS)
                .build();
            match lease.await {
                Ok(lease) => return lease,
                Err(error) => warn!(
                    error = chain(&error),
                    namespace = identity.namespace,
                    "cannot read the lease; trying again"
                ),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn reconcile(&self, stop: Stop) {
        let instance = self.identity.as_ref().map_or("sluice", |identity| &identity.pod).to_owned();
        let context =
            Context::new(self.client.clone(), self.images.clone(), instance, Arc::clone(&self.metrics))
                .with_pods(self.pods.clone());
        watches::run(context, &self.scopes, self.concurrency, stop).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::atomic::{AtomicU32, Ordering},
    };

    use futures::FutureExt;

    use super::*;

    /// Leads until it is told to stop; how often that was begun, and lost.
    async fn leads(mut leading: watch::Receiver<bool>, stop: Stop) -> (Ended, u32, u32) {
        let (begun, lost) = (AtomicU32::new(0), AtomicU32::new(0));
        let lead = || {
            begun.fetch_add(1, Ordering::Relaxed);
            stop.clone()
        };
        let ended = while_leading(&mut leading, &stop, lead, || {
            lost.fetch_add(1, Ordering::Relaxed);
        });
        let ended = tokio::time::timeout(Duration::from_mins(1), ended).await.expect("it ends");
        (ended, begun.into_inner(), lost.into_inner())
    }

    #[tokio::test]
    async fn a_lease_of_which_nothing_is_heard_any_more_is_not_held() {
        for held in [true, false] {
            let (sender, leading) = watch::channel(held);
            let never: Stop = pending().boxed().shared();
            let gone = async {
                tokio::task::yield_now().await;
                drop(sender);
            };
            let (ended, ()) = tokio::join!(leads(leading, never), gone);
            let led = u32::from(held);
            assert_eq!(ended, (Ended::LeaseUnknown, led, led), "held: {held}");
        }
    }

    #[tokio::test]
    async fn control_a_lease_that_is_lost_and_held_again_is_led_twice() {
        let (sender, leading) = watch::channel(true);
        let (stops, stopped) = tokio::sync::oneshot::channel::<()>();
        let stop: Stop = stopped.map(|_| ()).boxed().shared();
        let story = async {
            for held in [false, true] {
                tokio::task::yield_now().await;
                sender.send(held).expect("it listens");
                tokio::task::yield_now().await;
            }
            stops.send(()).expect("it listens");
        };
        let (ended, ()) = tokio::join!(leads(leading, stop), story);
        assert_eq!(ended, (Ended::Stopped, 2, 1));
        let (_sender, leading) = watch::channel(true);
        let stop: Stop = ready(()).boxed().shared();
        assert_eq!(leads(leading, stop).await.0, Ended::Stopped);
    }
}
