//! Times as Kubernetes writes them. PURE.

use jiff::Timestamp;

/// Kubernetes writes whole seconds.
pub fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}
