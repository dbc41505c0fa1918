//! What the controller and the stages say to each other: the stages of a run, and what each leaves behind.
//! PURE.
//!
//! Both wings stand on it, and neither knows the other.

mod outcome;
mod progress;
mod stage;

pub use outcome::{
    HistorySummary, MESSAGE_LIMIT, Outcome, Required, VERSION, Verdict, is_digest, outcome_message,
};
pub use progress::{Count, PROGRESS_LIMIT, PROGRESS_PATH, PROGRESS_PORT, Progress};
pub use stage::Stage;
