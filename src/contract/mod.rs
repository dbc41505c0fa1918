//! What the controller and the stages say to each other: the stages of a run, and what each leaves behind.
//! PURE.
//!
//! Both wings stand on it, and neither knows the other.

mod outcome;
mod stage;

pub use outcome::{HistorySummary, MESSAGE_LIMIT, Outcome, Required, VERSION, Verdict, is_digest, outcome_message};
pub use stage::Stage;
