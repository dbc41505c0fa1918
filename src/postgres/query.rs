//! How Sluice queries: with parameters, and without leaving anything behind on the server.
//!
//! The driver prepares a named statement for each query unless it is told not to, and Sluice keeps no cache
//! of them, because a migration may say DEALLOCATE ALL. A named statement would then stay for as long as the
//! session, and PostgreSQL goes through all of them whenever a table changes: a release of a thousand
//! migrations took twice as long.

use sqlx::{
    Postgres, SqlSafeStr,
    postgres::{PgArguments, PgRow},
    query::{Query, QueryAs, QueryScalar},
};

/// A statement without rows.
pub fn query<'a>(text: impl SqlSafeStr) -> Query<'a, Postgres, PgArguments> {
    sqlx::query(text).persistent(false)
}

/// A query whose rows become `T`.
pub fn query_as<'a, T>(text: impl SqlSafeStr) -> QueryAs<'a, Postgres, T, PgArguments>
where
    T: for<'r> sqlx::FromRow<'r, PgRow>,
{
    sqlx::query_as(text).persistent(false)
}

/// A query whose first column is the answer.
pub fn query_scalar<'a, T>(text: impl SqlSafeStr) -> QueryScalar<'a, Postgres, T, PgArguments>
where
    (T,): for<'r> sqlx::FromRow<'r, PgRow>,
{
    sqlx::query_scalar(text).persistent(false)
}
