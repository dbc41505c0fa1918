//! `/livez`, `/readyz` and `/metrics`. None of them looks at a database or at the API server.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
use tokio::net::TcpListener;
use tracing::debug;

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

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, health: Arc<Health>, metrics: Arc<Metrics>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, most likely: the next one may fare better.
                debug!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (health, metrics) = (Arc::clone(&health), Arc::clone(&metrics));
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                std::future::ready(Ok::<_, Infallible>(answer(&request, &health, &metrics)))
            });
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended early");
            }
        });
    }
}

fn answer(request: &Request<Incoming>, health: &Health, metrics: &Metrics) -> Response<Full<Bytes>> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    const METRICS: HeaderValue =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        (&Method::GET, "/readyz") => match health.lacks() {
            None => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            Some(lacking) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{lacking}\n")),
        },
        (&Method::GET, "/metrics") => (StatusCode::OK, METRICS, metrics.text()),
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
