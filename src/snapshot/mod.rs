//! Snapshots: taken, read back, recorded.
