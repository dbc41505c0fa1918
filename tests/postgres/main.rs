//! Tests against a real PostgreSQL: one server for the whole run, a fresh database for each test.
//!
//! The binaries come from `/usr/lib/postgresql/*/bin`, the newest wins; `PG_BIN=/path/to/bin cargo test --test postgres` takes another version.

mod server;
mod snapshot;
