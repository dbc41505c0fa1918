//! What could not be found out or done, one enum for each stage of a reconcile. An outcome is not an error.

use std::{error::Error as _, time::Duration};

use kube::core::Status;

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Trying again may help.
    Transient,
    /// The API server understood and refused: a person must change something. It is shown in the status.
    NeedsUser,
    /// The namespace is going away, and the object with it: there is nothing to do and nothing to tell.
    NamespaceTerminating,
    /// Another client wrote the object after it was observed, so nothing was written: one more reconcile, at
    /// once.
    Conflict,
}

impl ErrorClass {
    /// The word for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::NeedsUser => "needs_user",
            Self::NamespaceTerminating => "namespace-terminating",
            Self::Conflict => "conflict",
        }
    }
}

/// Something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what} of the DatabaseMigration \"{namespace}/{name}\"")]
pub struct ObserveError {
    /// What.
    pub what: &'static str,
    /// Whose namespace.
    pub namespace: String,
    /// Whose name.
    pub name: String,
    /// Why not.
    pub source: kube::Error,
}

/// A step could not be performed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The Job was not created.
    #[error("cannot create the Job {job:?}")]
    CreateJob {
        /// Its name.
        job: String,
        /// Why not.
        source: kube::Error,
    },
    /// A foreign Job has the name.
    #[error(
        "cannot create the Job {job:?}: a Job of this name exists and has another owner; delete or \
            rename it"
    )]
    JobIsForeign {
        /// Its name.
        job: String,
    },
    /// The gate was not written.
    #[error("cannot write the MigrationGate of the namespace {namespace:?}")]
    PublishGate {
        /// Where.
        namespace: String,
        /// Why not.
        source: kube::Error,
    },
    /// The Job was not deleted.
    #[error("cannot delete the Job {job:?}")]
    DeleteJob {
        /// Its name.
        job: String,
        /// Why not.
        source: kube::Error,
    },
}

impl ActError {
    /// Who has to act on it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::JobIsForeign { .. } => ErrorClass::NeedsUser,
            Self::CreateJob { source, .. }
            | Self::PublishGate { source, .. }
            | Self::DeleteJob { source, .. } => class_of(source),
        }
    }
}

/// The status or an Event could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the status of the DatabaseMigration \"{namespace}/{name}\"")]
pub struct ReportError {
    /// Whose namespace.
    pub namespace: String,
    /// Whose name.
    pub name: String,
    /// Why not.
    #[source]
    pub cause: ReportCause,
}

/// Why a status is not the one that was to be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportCause {
    /// The API server refused it, or was not reached.
    #[error(transparent)]
    Refused(kube::Error),
    /// The API server took it, and what it keeps is another one.
    #[error(
        "the API server does not keep all of it: the CustomResourceDefinition is older than the controller, \
            apply the one of this version"
    )]
    NotKept,
}

/// A reconcile could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Something could not be read.
    #[error("cannot observe")]
    Observe {
        /// What, and why not.
        source: Box<ObserveError>,
    },
    /// The step could not be performed.
    #[error("cannot act")]
    Act {
        /// Which, and why not.
        source: Box<ActError>,
    },
    /// The status could not be written.
    #[error("cannot report")]
    Report {
        /// Why not.
        source: Box<ReportError>,
    },
}

impl ReconcileError {
    /// Who has to act on it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Observe { source } => class_of(&source.source),
            Self::Act { source } => source.class(),
            Self::Report { source } => match &source.cause {
                ReportCause::Refused(error) => class_of(error),
                ReportCause::NotKept => ErrorClass::NeedsUser,
            },
        }
    }

    /// Which stage of the reconcile it was: a label of the metric.
    pub const fn stage(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "observe",
            Self::Act { .. } => "act",
            Self::Report { .. } => "report",
        }
    }
}

/// A refusal needs a person; anything else may pass. 404 comes with a namespace that goes away, 429 passes on
/// its own.
fn class_of(error: &kube::Error) -> ErrorClass {
    match error {
        kube::Error::Api(status) if is_terminating(status) => ErrorClass::NamespaceTerminating,
        kube::Error::Api(status) if status.is_conflict() => ErrorClass::Conflict,
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 405 | 413 | 422) => {
            ErrorClass::NeedsUser
        }
        _ => ErrorClass::Transient,
    }
}

/// The refusal of everything new in a namespace that is being deleted.
fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The class of an answer that is not an error of a reconcile.
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    class_of(error) == ErrorClass::NamespaceTerminating
}

/// An error and everything behind it, as one sentence.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(kube::Error::Api(status)) = error.downcast_ref() {
        return format!("{} ({})", status.message, status.code);
    }
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // kube prints the whole answer of the API server, and twice.
        if let Some(kube::Error::Api(status)) = source.downcast_ref() {
            return format!("{text}: {} ({})", status.message, status.code);
        }
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// The sentence that the status shows for a step that was refused.
pub fn refusal(error: &ActError) -> String {
    let reason = match error.source().and_then(|source| source.downcast_ref::<kube::Error>()) {
        Some(kube::Error::Api(status)) => format!(": {}", status.message),
        _ => String::new(),
    };
    format!("{error}{reason}. Sluice retries automatically")
}

/// How long to wait after the n-th error in a row: 200 ms, doubled each time, at most a minute.
pub fn pause(errors: u32) -> Duration {
    let doubled = 200_u64.saturating_mul(1_u64.checked_shl(errors.saturating_sub(1)).unwrap_or(u64::MAX));
    let capped = doubled.min(60_000);
    Duration::from_millis(capped + fastrand::u64(0..=capped / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure("exceeded quota: jobs", "Forbidden").with_code(code)))
    }

    #[test]
    fn an_object_that_was_written_meanwhile_is_a_conflict_and_no_failure() {
        let written = Status::failure("the object has been modified", "Conflict").with_code(409);
        let cause = ReportCause::Refused(kube::Error::Api(Box::new(written)));
        let error = ReportError { namespace: "medical".into(), name: "records".into(), cause };
        assert_eq!(ReconcileError::Report { source: Box::new(error) }.class(), ErrorClass::Conflict);
    }

    #[test]
    fn a_refusal_asks_for_a_person_and_a_failure_is_tried_again() {
        for (code, class) in [
            (403, ErrorClass::NeedsUser),
            (422, ErrorClass::NeedsUser),
            (409, ErrorClass::Transient),
            (429, ErrorClass::Transient),
            (500, ErrorClass::Transient),
            (404, ErrorClass::Transient),
        ] {
            assert_eq!(
                ActError::CreateJob { job: "j".into(), source: refused(code) }.class(),
                class,
                "{code}"
            );
        }
    }

    #[test]
    fn a_namespace_that_goes_away_asks_for_nobody() {
        let answer = serde_json::json!({
            "status": "Failure", "reason": "Forbidden", "code": 403, "message": "because it is being \
                terminated",
            "details": {"name": "gates", "causes": [{"reason": "NamespaceTerminating", "message": "…", "field": "metadata.namespace"}]},
        });
        let source = kube::Error::Api(serde_json::from_value(answer).expect("a Status"));
        assert_eq!(
            ActError::PublishGate { namespace: "medical".into(), source }.class(),
            ErrorClass::NamespaceTerminating
        );
    }

    #[test]
    fn a_refusal_tells_the_object_and_the_api_servers_words() {
        let error = ActError::CreateJob { job: "records-1-a1".into(), source: refused(403) };
        assert_eq!(
            refusal(&error),
            "cannot create the Job \"records-1-a1\": exceeded quota: jobs. Sluice retries automatically"
        );
    }

    #[test]
    fn pauses_grow_and_are_capped() {
        assert!(pause(1) < Duration::from_millis(251));
        assert!((60_000..=75_000).contains(&pause(40).as_millis()));
        assert!((60_000..=75_000).contains(&pause(u32::MAX).as_millis()));
    }
}
