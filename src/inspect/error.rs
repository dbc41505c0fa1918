//! What a query was for, where there is no answer.

use crate::postgres::{log_whole, said};

/// A check could not be carried out.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {}", said(.cause))]
pub struct CheckError {
    /// What the query was for.
    pub action: &'static str,
    /// Why there is no answer.
    #[source]
    pub cause: sqlx::Error,
}

impl CheckError {
    /// PostgreSQL is still busy with the query, so the session answers nothing else and must be closed.
    pub fn is_unfinished(&self) -> bool {
        matches!(&self.cause, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
    }
}

/// Adds what the query was for to an error of the driver.
pub(crate) trait QueryContext<T> {
    /// Names what the query was for, verb first.
    fn context(self, action: &'static str) -> Result<T, CheckError>;
}

impl<T> QueryContext<T> for Result<T, sqlx::Error> {
    fn context(self, action: &'static str) -> Result<T, CheckError> {
        self.map_err(|cause| {
            log_whole(&cause);
            CheckError { action, cause }
        })
    }
}
