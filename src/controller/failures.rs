//! What went wrong with an object since it last went well. Kept in memory only: a restart forgets it and
//! finds out again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::error::{ErrorClass, ReconcileError, refusal};
use crate::plan::facts::RefusedStep;

/// Errors in a row, and the last refusal, by the object's uid.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<String, Failure>>);

#[derive(Clone, Debug, Default)]
struct Failure {
    errors: u32,
    refused_step: Option<RefusedStep>,
}

impl Failures {
    /// The step that the API server refused last.
    pub fn refused_step(&self, uid: &str) -> Option<RefusedStep> {
        self.lock().get(uid)?.refused_step.clone()
    }

    /// Counts an error and says how many there were in a row.
    pub fn count(&self, uid: &str, error: &ReconcileError) -> u32 {
        let mut failures = self.lock();
        let failure = failures.entry(uid.to_owned()).or_default();
        failure.errors += 1;
        if let ReconcileError::Act { source } = error
            && source.class() == ErrorClass::NeedsUser
        {
            failure.refused_step = Some(RefusedStep { message: refusal(source) });
        }
        failure.errors
    }

    /// It went well, or is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failure>> {
        // A panic elsewhere leaves a map of plain values, which is still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
