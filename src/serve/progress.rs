//! How far a stage is, on the port of its Pod: as JSON for the controller and as metrics for a scraper.

use std::time::Duration;

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::HeaderValue,
};
use prometheus_client::{
    encoding::text::encode, metrics::family::Family, metrics::gauge::Gauge, registry::Registry,
};
use tokio::net::TcpListener;

use super::{METRICS, page, pages};
use crate::contract::{Count, PROGRESS_PATH, Progress};

/// So many connections of a stage at a time: a further client waits for one of them.
const MOST: usize = 32;
/// A connection of a stage is closed after this time, whatever it is still at.
const LONGEST: Duration = Duration::from_secs(30);

/// Serves how far a stage is until it is dropped.
pub async fn serve_progress(
    listener: TcpListener,
    progress: impl Fn() -> Option<Progress> + Clone + Send + Sync + 'static,
) {
    pages(listener, (MOST, LONGEST), move |request: &Request<Incoming>| {
        answer(request.method(), request.uri().path(), progress().as_ref())
    })
    .await;
}

/// 204 before the stage has begun.
fn answer(method: &Method, path: &str, progress: Option<&Progress>) -> Response<Full<Bytes>> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    match (method, path, progress) {
        (&Method::GET, PROGRESS_PATH, Some(progress)) => {
            page(StatusCode::OK, JSON, serde_json::to_string(progress).unwrap_or_default())
        }
        (&Method::GET, "/metrics", Some(progress)) => page(StatusCode::OK, METRICS, metrics(progress)),
        (&Method::GET, PROGRESS_PATH | "/metrics", None) => page(StatusCode::NO_CONTENT, JSON, String::new()),
        _ => page(StatusCode::NOT_FOUND, JSON, String::new()),
    }
}

/// The same as metrics. What there is no number for is left out.
fn metrics(progress: &Progress) -> String {
    let mut registry = Registry::with_prefix("sluice_stage");
    let labels = vec![("stage", progress.stage.name())];
    let mut add = |name: &str, help: &str, value: i64| {
        let family = Family::<Vec<(&str, &str)>, Gauge>::default();
        family.get_or_create(&labels).set(value);
        registry.register(name, help, family);
    };
    add(
        "since_timestamp_seconds",
        "Since when it is at this migration, or where there is none at this stage",
        progress.since.as_second(),
    );
    if let Some(Count { at, of }) = progress.migrations {
        add("migration", "Which of the pending migrations runs, counted from 1", at.into());
        add("migrations", "How many migrations were pending when the run began", of.into());
    }
    if let Some(Count { at, of }) = progress.statements {
        add("statement", "Which statement of the migration runs, counted from 1", at.into());
        add("statements", "How many statements the migration has", of.into());
    }
    if let Some(percent) = progress.index.as_ref().and_then(|index| index.percent) {
        add("index_percent", "How much of its phase the build of an index has done", percent.into());
    }
    let sessions = i64::try_from(progress.blocked_by.len()).unwrap_or_default();
    add("blocking_sessions", "How many sessions of others it waits for, at most 5", sessions);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        Err(std::fmt::Error) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::contract::Stage;

    fn migrating() -> Progress {
        Progress {
            migration: Some("2_b".to_owned()),
            migrations: Some(Count { at: 2, of: 5 }),
            ..Progress::of(Stage::Migrate, Timestamp::from_second(100).expect("a moment"))
        }
    }

    #[test]
    fn the_metrics_tell_the_numbers_that_there_are_and_no_name_of_a_migration() {
        let text = metrics(&migrating());
        for line in [
            "sluice_stage_since_timestamp_seconds{stage=\"migrate\"} 100",
            "sluice_stage_migration{stage=\"migrate\"} 2",
            "sluice_stage_migrations{stage=\"migrate\"} 5",
            "sluice_stage_blocking_sessions{stage=\"migrate\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("statement") && !text.contains("2_b"), "{text}");
    }

    #[test]
    fn a_stage_answers_two_paths_and_changes_nothing() {
        let status = |method, path, progress| answer(&method, path, progress).status();
        let progress = migrating();
        for path in [PROGRESS_PATH, "/metrics"] {
            assert_eq!(status(Method::GET, path, Some(&progress)), StatusCode::OK, "{path}");
            assert_eq!(status(Method::GET, path, None), StatusCode::NO_CONTENT, "{path}");
            assert_eq!(status(Method::POST, path, Some(&progress)), StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(status(Method::GET, "/livez", Some(&progress)), StatusCode::NOT_FOUND);
    }
}
