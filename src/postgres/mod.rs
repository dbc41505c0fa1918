//! Everything that talks to PostgreSQL and is not a check: connecting, locking, executing. Only `stage`, `check` and
//! `snapshot` may import it.

mod connect;

pub use connect::{ConnectError, ConnectionUrl, InvalidUrl, connect};
