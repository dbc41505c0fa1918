//! `sluice controller`: what runs in the cluster.

use std::{net::SocketAddr, pin::pin, process::ExitCode, sync::Arc};

use futures::FutureExt;
use kube::Client;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tracing::{error, info};

use crate::{
    api::Pods,
    controller::{Controllers, Identity, error::chain},
    objects::Images,
    serve::{self, Health},
    telemetry::{self, Metrics, Rows},
};

/// Watch DatabaseMigrations and run what they ask for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image of the stages plan, migrate and verify: this one.
    #[arg(long, value_name = "REF")]
    image: String,

    /// The image of the stage snapshot, which has the PostgreSQL client tools.
    #[arg(long, value_name = "REF")]
    stage_image: String,

    /// How the Pods of runs are placed and how much they may use, as JSON: what `spec.pods` of a
    /// MigrationPolicy may say.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = pods)]
    pods: Box<Pods>,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    address: SocketAddr,

    /// A namespace to watch; may be given several times. Default: all of them.
    #[arg(long, value_name = "NS")]
    namespace: Vec<String>,

    /// How many objects the controller reconciles in parallel.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    max_concurrent: u16,

    /// This Pod's name, by which it holds the lease.
    #[arg(long, env = "POD_NAME", hide = true)]
    pod_name: Option<String>,

    /// This Pod's namespace, where the lease is. Without it there is no lease.
    #[arg(long, env = "POD_NAMESPACE", hide = true)]
    pod_namespace: Option<String>,
}

fn pods(text: &str) -> Result<Box<Pods>, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Runs until it is told to stop: the first signal lets what has begun end, the second does not.
pub async fn run(args: Args) -> ExitCode {
    telemetry::start_logging(Rows::LeftOut, telemetry::USUAL);
    match work(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            error!(problem, "the controller cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn work(args: Args) -> Result<(), String> {
    let listener = serve::listen(args.address).await.map_err(|error| chain(&error))?;
    let client = Client::try_default().await.map_err(|error| chain(&error))?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(interrupt), Ok(terminate)) = (&mut interrupt, &mut terminate) else {
        return Err("cannot listen for signals".to_owned());
    };

    let (metrics, health) = (Arc::<Metrics>::default(), Arc::<Health>::default());
    let pages = tokio::spawn(serve::serve(listener, Arc::clone(&health), Arc::clone(&metrics)));
    let (stop, stopped) = oneshot::channel::<()>();
    let controllers = controllers(args, client, metrics, health);
    let mut running = pin!(controllers.run(stopped.map(|_| ()).boxed().shared()));

    let mut told = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::select! {
        () = &mut running => {}
        () = told() => info!("stopping: what has begun ends first; a second signal does not wait for it"),
    }
    drop(stop);
    tokio::select! {
        () = &mut running => info!("stopped"),
        () = told() => return Err("stopped by a second signal".to_owned()),
    }
    pages.abort();
    Ok(())
}

fn controllers(args: Args, client: Client, metrics: Arc<Metrics>, health: Arc<Health>) -> Controllers {
    let identity = args.pod_name.zip(args.pod_namespace).map(|(pod, namespace)| Identity { pod, namespace });
    let scopes =
        if args.namespace.is_empty() { vec![None] } else { args.namespace.into_iter().map(Some).collect() };
    let images = Images { sluice: args.image, snapshot: args.stage_image };
    Controllers {
        client,
        images,
        pods: *args.pods,
        scopes,
        concurrency: args.max_concurrent,
        identity,
        metrics,
        health,
    }
}
