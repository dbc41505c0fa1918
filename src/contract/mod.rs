//! What the controller and the stages say to each other: what a run is for, its legs and their stages, and
//! what each stage leaves behind. PURE.
//!
//! Both wings stand on it, and neither knows the other.

mod outcome;
mod progress;
mod route;
mod stage;

pub use outcome::{
    HistorySummary, MESSAGE_LIMIT, Outcome, Required, VERSION, Verdict, is_digest, outcome_message,
};
pub use progress::{Count, IndexProgress, PROGRESS_LIMIT, PROGRESS_PATH, PROGRESS_PORT, Progress, Rows};
pub use route::{Gate, Leg, Purpose, Route};
pub use stage::{REHEARSAL_URL, Stage};
