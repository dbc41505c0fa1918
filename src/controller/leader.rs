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

/// Leads for as long as `leading` says so, again and again, until `stop` ends or `lead` does.
pub async fn while_leading<F: Future<Output = ()>>(
    leading: &mut watch::Receiver<bool>,
    stop: &Stop,
    lead: impl Fn() -> F,
    lost: impl Fn(),
) {
    loop {
        tokio::select! {
            _ = leading.wait_for(|leading| *leading) => {}
            () = stop.clone() => return,
        }
        let mut ended = leading.clone();
        tokio::select! {
            () = lead() => return,
            // Dropping the loops ends them at once, in the middle of what they were doing. That is safe at
            // any point.
            _ = ended.wait_for(|leading| !*leading) => lost(),
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
        let lease = tokio::select! {
            lease = self.lease(identity) => lease,
            () = stop.clone() => return,
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
        while_leading(&mut leading, &stop, lead, lost).await;
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
