//! When a release began: what came later is new.

use sqlx::PgConnection;

use super::{CheckError, QueryContext};
use crate::postgres::query_scalar;

/// The first transaction that had not begun when a release did. Every row that the release writes into the
/// catalog has this number or a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Began(pub i64);

/// Read before the first statement of a release.
pub async fn release_begins(connection: &mut PgConnection) -> Result<Began, CheckError> {
    let next = "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8";
    Ok(Began(query_scalar(next).fetch_one(connection).await.context("read which transaction comes next")?))
}
