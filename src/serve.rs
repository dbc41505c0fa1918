//! What is served: of the controller `/livez`, `/readyz` and `/metrics`, of a stage `/progress` and `/metrics`. None of them
//! connects to a database or to the API server, and none changes anything.

mod progress;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tracing::debug;

pub use progress::serve_progress;

use crate::telemetry::Metrics;

/// What `/readyz` goes by.
#[derive(Debug, Default)]
pub struct Health {
    /// The API server serves both kinds.
    established: AtomicBool,
    /// The loops run, as leader or as follower.
    working: AtomicBool,
}

impl Health {
    /// The API server serves both kinds.
    pub fn set_established(&self) {
        self.established.store(true, Ordering::Relaxed);
    }

    /// The loops run, or have ended.
    pub fn set_working(&self, working: bool) {
        self.working.store(working, Ordering::Relaxed);
    }

    /// `None` when ready, else what is missing.
    fn lacks(&self) -> Option<&'static str> {
        if !self.established.load(Ordering::Relaxed) {
            return Some(
                "the API server does not serve sluice.dev/v1alpha1 yet: are the CustomResourceDefinitions \
                    installed?",
            );
        }
        (!self.working.load(Ordering::Relaxed)).then_some("not working: starting or shutting down")
    }
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: choose another --address")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Listens at once, so that a mistaken address is told at once.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Serves the controller's pages until it is dropped.
pub async fn serve(listener: TcpListener, health: Arc<Health>, metrics: Arc<Metrics>) {
    let answer = move |request: &_| answer(request, &health, &metrics);
    pages(listener, (Semaphore::MAX_PERMITS, Duration::MAX), answer).await;
}

async fn pages(
    listener: TcpListener,
    (most, longest): (usize, Duration),
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
) {
    let places = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, most likely: the next one may fare better.
                debug!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = answer.clone();
        connections.spawn(async move {
            let _place = place;
            let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request))));
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
            match tokio::time::timeout(longest, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a connection ended early"),
                Err(_) => debug!("a connection took too long"),
            }
        });
    }
}

/// The form in which metrics are exposed.
const METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

fn answer(request: &Request<Incoming>, health: &Health, metrics: &Metrics) -> Response<Full<Bytes>> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        (&Method::GET, "/readyz") => match health.lacks() {
            None => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            Some(lacking) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{lacking}\n")),
        },
        (&Method::GET, "/metrics") => (StatusCode::OK, METRICS, metrics.text()),
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz and /metrics\n".to_owned()),
    };
    page(status, kind, body)
}

fn page(status: StatusCode, kind: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
